"""From a candidate to a registered model that carries its evaluation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsys.errors import InputError
from recsys.evaluation.comparison import Comparison, Recommendation
from recsys.tracking.evaluations import FILE, find_evaluation, load_evaluation, recommendation_of
from recsys.tracking.models import MODEL, asking, is_named, run_of
from recsys.tracking.store import quiet_client
from recsys.tracking.worker import run_id_of


@dataclass(frozen=True)
class Evidence:
    """What an evaluation says of the candidate. evaluation: the id of its MLflow run, or the file it was read from."""

    evaluation: str
    recommendation: Recommendation
    comparison: Comparison


@dataclass(frozen=True)
class Promoted:
    """What was done, fit for JSON. previous: the version that had the alias before; notes: what somebody should know."""

    name: str
    version: str
    alias: str
    run_id: str
    verdict: str | None
    evaluation: str | None
    previous: str | None
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """As a dictionary."""
        return asdict(self)


def promote(candidate: str, name: str, alias: str, uri: str, *, evaluation: str | None = None, force: bool = False) -> Promoted:
    """Register the model of `candidate` under `name` with its evaluation, and let `alias` point to it.

    Args:
        candidate: `runs:/ID`, `models:/...`, or a run's folder that MLflow knows.
        evaluation: the folder of an evaluation, its JSON, or `runs:/ID`; the newest in MLflow that compared the candidate when None.
        force: also against the evidence, or without any.

    Raises:
        InputError: the verdict was "worse", or another version has the alias and nothing says that the candidate is as good; the model
            isn't in MLflow.
    """
    client = quiet_client(uri)
    run_id = run_of(candidate, client) if is_named(candidate) else _run_of_folder(Path(candidate))
    source = _model_of(candidate, run_id, client)
    incumbent = _incumbent(client, name, alias)
    evidence = _evidence(run_id, evaluation, client)
    if not force:
        _refuse(candidate, name, alias, run_id, incumbent, evidence)
    with asking(f"model {name!r}"):
        version = _version(client, name, run_id, source)
        _describe(client, name, version, evidence, forced=force)
        # Last, because this is what serving follows: a failure above leaves the champion as it is.
        client.set_registered_model_alias(name, alias, version)
    return Promoted(
        name=name,
        version=str(version),
        alias=alias,
        run_id=run_id,
        verdict=evidence.recommendation.verdict if evidence else None,
        evaluation=evidence.evaluation if evidence else None,
        previous=str(incumbent.version) if incumbent else None,
        notes=list(_notes(run_id, incumbent, evidence)),
    )


def _run_of_folder(folder: Path) -> str:
    run_id = run_id_of(folder)
    if not run_id:
        raise InputError(f"{folder}: belongs to no MLflow run; promote a model that was trained with tracking on, or name it as runs:/ID")
    return str(run_id)


def _model_of(candidate: str, run_id: str, client: Any) -> str:
    """Where the run's model lies."""
    with asking(candidate):
        run = client.get_run(run_id)
        if not client.list_artifacts(run_id, MODEL):
            raise InputError(f"{candidate}: run {run_id} holds no model; train it with tracking.log_model=true")
    return f"{run.info.artifact_uri}/{MODEL}"


def _incumbent(client: Any, name: str, alias: str) -> Any | None:
    """The version that has the alias now."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise InputError(f"models:/{name}@{alias}: {str(error).splitlines()[0]}") from error


def _evidence(run_id: str, evaluation: str | None, client: Any) -> Evidence | None:
    if evaluation is None:
        found = find_evaluation(run_id, client)
        if found is None:
            return None
        recommendation = recommendation_of(found[1], run_id)
        assert recommendation is not None
        return Evidence(found[0], recommendation, found[1])
    if is_named(evaluation):
        evaluation = run_of(evaluation, client)
        comparison = load_evaluation(evaluation, client)
    else:
        path = Path(evaluation)
        comparison = Comparison.load(path / FILE if path.is_dir() else path)
    recommendation = recommendation_of(comparison, run_id)
    if recommendation is None:
        compared = ", ".join(f"{part.name} ({part.run_id or 'no run'})" for part in comparison.candidates)
        raise InputError(f"--evaluation {evaluation}: says nothing of run {run_id} against a baseline; it compares {compared}")
    return Evidence(evaluation, recommendation, comparison)


def _refuse(candidate: str, name: str, alias: str, run_id: str, incumbent: Any | None, evidence: Evidence | None) -> None:
    if evidence is not None and evidence.recommendation.verdict == "worse":
        raise InputError(f"{candidate}: the evaluation says worse. {evidence.recommendation.words} --force promotes it all the same")
    if evidence is None and incumbent is not None and incumbent.run_id != run_id:
        raise InputError(
            f"{candidate}: models:/{name}@{alias} is version {incumbent.version}, and no evaluation compares this candidate with it; "
            f"run `recsys evaluate models:/{name}@{alias} {candidate} --data LOGS` first, or --force promotes it without"
        )


def _version(client: Any, name: str, run_id: str, source: str) -> str:
    """The version of this run's model: the one that is there, else a new one."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = [version for version in client.search_model_versions(f"name = '{name}'") if version.run_id == run_id]
    if known:
        return str(known[0].version)
    return str(client.create_model_version(name, source, run_id).version)


def _describe(client: Any, name: str, version: str, evidence: Evidence | None, *, forced: bool) -> None:
    if evidence is None:
        client.update_model_version(name, version, "No evaluation.")
        return
    part = evidence.recommendation
    tags = {
        "verdict": part.verdict,
        "evaluation": evidence.evaluation,
        "baseline": evidence.comparison.baseline,
        "forced": str(forced).lower(),
    }
    tags |= {f"verdict.{task}": verdict for task, verdict in part.tasks.items()}
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.update_model_version(
        name, version, f"{part.words}\n\nEvaluation: {evidence.evaluation}, on {', '.join(evidence.comparison.data.paths)}"
    )


def _notes(run_id: str, incumbent: Any | None, evidence: Evidence | None) -> list[str]:
    notes = []
    if evidence is None:
        notes.append("there is no evaluation of this model")
    elif evidence.recommendation.verdict == "inconclusive":
        notes.append("the evaluation was inconclusive")
    if evidence is not None and incumbent is not None and incumbent.run_id != run_id:
        baseline = next(part for part in evidence.comparison.candidates if part.name == evidence.comparison.baseline)
        if incumbent.run_id not in [baseline.run_id, *baseline.run_ids]:
            notes.append(f"it was compared with {baseline.name}, which isn't the version {incumbent.version} that it replaces")
    return notes
