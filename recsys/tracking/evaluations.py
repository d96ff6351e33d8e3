"""Evaluations in MLflow: a run of their own, which names its candidates and can be found again by them."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.evaluation.comparison import Candidate, Comparison, Recommendation
from recsys.tracking.models import asking
from recsys.tracking.store import quiet_client
from recsys.tracking.tracker import Tracker
from recsys.tracking.worker import Report

KIND, EVALUATION = "recsys.kind", "evaluation"
FILE = "comparison.json"
LINKED = "evaluation"  # tag of a candidate's run: the newest evaluation that it was part of


def log_evaluation(comparison: Comparison, files: Sequence[Path], output: Path, uri: str, experiment: str) -> Report:
    """Send an evaluation as a run with the deciding metrics, the verdicts as tags, and `files` as artifacts.

    The tags, by which MLflow's page filters: `baseline`, `candidates`, `candidate_runs` (ids), `verdict` and `verdict.TASK` of one
    challenger, `verdict.NAME` and `verdict.NAME.TASK` of each of several. The description links to the candidates' runs, and these get a
    tag that names this one. What can't be sent waits in `output`/tracking, as for training.
    """
    links = _links(comparison, uri)
    tracker = Tracker(
        uri, experiment, _title(comparison), output, tags=tags_of(comparison) | {"mlflow.note.content": _note(comparison, links)}
    )
    data = comparison.data
    tracker.log_params({"data": ", ".join(data.paths), "rows": data.rows, "fingerprint": data.fingerprint, "command": comparison.command})
    tracker.log_metrics(metrics_of(comparison), 0)
    for file in files:
        tracker.log_artifact(file)
    report = tracker.close()
    if report.run_id:
        _link_back(uri, list(links), report.run_id)
    return report


def tags_of(comparison: Comparison) -> dict[str, str]:
    """The tags of an evaluation's run."""
    tags = {
        "mlflow.source.name": "recsys evaluate",
        KIND: EVALUATION,
        "baseline": comparison.baseline,
        "candidates": ", ".join(part.name for part in comparison.candidates),
        "candidate_runs": ",".join(run_id for part in comparison.candidates for run_id in runs_of(part)),
    }
    for part in comparison.recommendations:
        key = "verdict" if len(comparison.recommendations) == 1 else f"verdict.{part.candidate}"
        tags |= {key: part.verdict} | {f"{key}.{task}": verdict for task, verdict in part.tasks.items()}
    return tags


def metrics_of(comparison: Comparison) -> dict[str, float]:
    """`CANDIDATE/TASK/METRIC` of the deciding metrics on all rows, and `.../difference` with its `low`, `high` and `p`."""
    deciding = {task.name: task.metric for task in comparison.tasks}
    values: dict[str, float] = {}
    for estimate in comparison.estimates:
        if estimate.slice is None and deciding.get(estimate.task) == estimate.metric:
            values[f"{estimate.candidate}/{estimate.task}/{estimate.metric}"] = estimate.value
    for part in comparison.differences:
        if part.slice is None and deciding.get(part.task) == part.metric:
            name = f"{part.candidate}/{part.task}/{part.metric}/difference"
            values |= {name: part.difference, f"{name}/low": part.low, f"{name}/high": part.high, f"{name}/p": part.p}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def runs_of(candidate: Candidate) -> list[str]:
    """The MLflow runs of a candidate's seeds."""
    return candidate.run_ids or ([candidate.run_id] if candidate.run_id else [])


def find_evaluation(run_id: str, client: Any) -> tuple[str, Comparison] | None:
    """The newest evaluation in which a training run was compared with a baseline, and its run's id; None where there is none."""
    with asking(f"evaluations of run {run_id}"):
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        wanted = f"tags.`{KIND}` = '{EVALUATION}' and tags.candidate_runs like '%{run_id}%'"
        found = client.search_runs(experiments, wanted, order_by=["attributes.start_time DESC"])
    for run in found:
        comparison = load_evaluation(run.info.run_id, client)
        if recommendation_of(comparison, run_id) is not None:
            return run.info.run_id, comparison
    return None


def load_evaluation(evaluation: str, client: Any) -> Comparison:
    """The record of the evaluation in an MLflow run. Raises InputError when the run holds none."""
    with tempfile.TemporaryDirectory() as folder, asking(f"runs:/{evaluation}: holds no {FILE}"):
        return Comparison.load(Path(client.download_artifacts(evaluation, FILE, folder)))


def recommendation_of(comparison: Comparison, run_id: str) -> Recommendation | None:
    """What an evaluation says of the candidate that a training run is, or is a seed of; None of the baseline."""
    names = {part.name for part in comparison.candidates if run_id in runs_of(part)}
    return next((part for part in comparison.recommendations if part.candidate in names), None)


def _title(comparison: Comparison) -> str:
    challengers = [part.name for part in comparison.candidates if part.name != comparison.baseline]
    return f"{', '.join(challengers)} against {comparison.baseline}"


def _links(comparison: Comparison, uri: str) -> dict[str, str]:
    """The address within MLflow's page of each candidate's run, by id; of those that the server has."""
    found: dict[str, str] = {}
    client = quiet_client(uri)
    for run_id in [run_id for part in comparison.candidates for run_id in runs_of(part)]:
        with contextlib.suppress(Exception):  # a run of another server, or a server that is away
            found[run_id] = f"#/experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}"
    return found


def _note(comparison: Comparison, links: dict[str, str]) -> str:
    lines = [f"**{part.candidate}: {part.recommendation}.** {part.words}" for part in comparison.recommendations]
    for part in comparison.candidates:
        runs = [f"[{run_id[:8]}]({links[run_id]})" if run_id in links else run_id[:8] for run_id in runs_of(part)]
        role = " (baseline)" if part.name == comparison.baseline else ""
        lines.append(f"- {part.name}{role}: `{part.spec}`" + (f", run {', '.join(runs)}" if runs else ""))
    return "\n\n".join([*lines, *(f"Warning: {warning}" for warning in comparison.warnings)])


def _link_back(uri: str, run_ids: Sequence[str], evaluation: str) -> None:
    """Name the evaluation on its candidates' runs. It is found by its own tags too, so nothing is lost where that fails."""
    client = quiet_client(uri)
    for run_id in run_ids:
        with contextlib.suppress(Exception):
            client.set_tag(run_id, LINKED, evaluation)
