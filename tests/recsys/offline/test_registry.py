"""Models in MLflow: found from anywhere by their names, and promoted with their evaluation. Real stores, a real server."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from offline_jobs import Trained, command
from rich.console import Console
from tracking_server import Server

from recsys.errors import InputError
from recsys.evaluation.comparison import Candidate, Comparison, Data, Difference, Estimate, Recommendation, TaskSummary, Verdict
from recsys.offline.request import Scored
from recsys.offline.scoring import score
from recsys.tracking.evaluations import FILE, find_evaluation, load_evaluation, log_evaluation
from recsys.tracking.models import fetch, tracking_uri
from recsys.tracking.promotion import promote
from recsys.tracking.tracker import Tracker


def run_id_of(trained: Trained, name: str) -> str:
    return trained.result(name)["run_id"]


def compared(candidate: str, baseline: str, verdict: Verdict, *, names: tuple[str, str] = ("new", "old")) -> Comparison:
    """A comparison of two runs, by their ids."""
    runs = zip(names, (candidate, baseline), strict=True)
    difference = {"low": -0.01, "high": 0.03, "p": math.nan, "p_holm": 0.4, "p_fdr": 0.4, "minimum_detectable": 0.03, "rows_needed": 9.0}
    advice = {"better": "promote", "worse": "keep the baseline", "inconclusive": "gather more evidence"}[verdict]
    return Comparison(
        command="recsys evaluate",
        created="2026-01-01",
        seconds=1.0,
        versions={},
        data=Data(paths=["log"], rows=100, group="user_id", groups=10, fingerprint="f"),
        baseline=names[1],
        candidates=[Candidate(name=name, spec=f"runs:/{run_id}", kind="model", run_id=run_id) for name, run_id in runs],
        tasks=[
            TaskSummary(name="ctr", metric="auc", kind="binary", higher_is_better=True, margin=0, guardrail=True, rows=100, positives=9)
        ],
        estimates=[
            Estimate(candidate=name, task="ctr", metric="auc", value=0.7, low=0.6, high=0.8, rows=100, positives=9, groups=10)
            for name in names
        ],
        differences=[
            Difference(candidate=names[0], task="ctr", metric="auc", difference=0.01, method="delong", verdict=verdict, **difference)
        ],
        recommendations=[
            Recommendation(candidate=names[0], verdict=verdict, recommendation=advice, rule="r", words="So.", tasks={"ctr": verdict})
        ],
        warnings=["few rows"],
    )


def logged(comparison: Comparison, folder: Path, uri: str) -> str:
    """The id of the evaluation's run."""
    folder.mkdir()
    comparison.save(folder / FILE)
    report = log_evaluation(comparison, [folder / FILE], folder, uri, "evaluations")
    assert report.complete and report.run_id
    return report.run_id


def test_a_run_in_a_store_is_scored_by_its_id_as_from_its_folder(trained: Trained, tmp_path: Path) -> None:
    run_id = run_id_of(trained, "emtl")
    found = fetch(f"runs:/{run_id}", trained.uri)
    assert found.run_id == run_id and found.tags["strategy"] == "emtl"
    assert {path.name for path in found.folder.iterdir()} == {"config.yaml", "statistics.json", "_schema.yaml", "checkpoints"}
    assert len(list((found.folder / "checkpoints").iterdir())) == 2, "the best checkpoint and the index"
    tables = []
    for name, path in (("here", trained.run("emtl")), ("there", found.folder)):
        request = trained.request(tmp_path / name, Scored(name="run", kind="model", path=path))
        score(request, Console(quiet=True))
        tables.append((request.scores / "part-00000.parquet").read_bytes())
    assert tables[0] == tables[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(f"sqlite:///{folder}/server.db", folder)
    server.start()
    yield server
    server.kill()


def on_server(trained: Trained, server: Server, folder: Path) -> str:
    """The id of a run on the server with the model of `emtl`, as training sends it."""
    tracker = Tracker(server.uri, "training", "emtl", folder, tags={"strategy": "emtl"})
    tracker.log_artifact(trained.run("emtl") / "model", "model")
    report = tracker.close()
    assert report.complete and report.run_id
    return report.run_id


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_machine_needs_only_the_server(trained: Trained, server: Server, tmp_path: Path) -> None:
    champion, challenger = (on_server(trained, server, tmp_path / name) for name in ("one", "two"))
    cache = tmp_path / "cache"
    found = fetch(f"runs:/{champion}", server.uri, cache)
    assert cache in found.folder.parents and contents(found.folder) == contents(trained.run("emtl") / "model")
    inode = (found.folder / "config.yaml").stat().st_ino
    assert (fetch(f"runs:/{champion}", server.uri, cache).folder / "config.yaml").stat().st_ino == inode, "fetched once"
    assert [path.name for path in cache.iterdir()] == [found.folder.name], "nothing half-fetched is left"

    client = MlflowClient(server.uri)
    first = promote(f"runs:/{champion}", "ranker", "champion", server.uri)
    assert (first.version, first.previous, first.verdict) == ("1", None, None), "the first needs no evidence"
    with pytest.raises(InputError, match="no evaluation compares"):
        promote(f"runs:/{challenger}", "ranker", "champion", server.uri)
    evaluation = logged(compared(challenger, champion, "better"), tmp_path / "better", server.uri)
    assert client.get_run(challenger).data.tags["evaluation"] == evaluation
    second = promote(f"runs:/{challenger}", "ranker", "champion", server.uri)
    assert (second.version, second.previous, second.verdict, second.evaluation, second.notes) == ("2", "1", "better", evaluation, [])
    version = client.get_model_version_by_alias("ranker", "champion")
    assert version.run_id == challenger and version.tags["verdict.ctr"] == "better" and "So." in version.description
    for source in ("models:/ranker@champion", "models:/ranker/2"):
        assert fetch(source, server.uri, cache).run_id == challenger
    assert fetch("models:/ranker/1", server.uri, cache).run_id == champion


def test_an_evaluation_is_a_run_that_can_be_filtered_and_links_to_its_candidates(trained: Trained, tmp_path: Path) -> None:
    new, old = run_id_of(trained, "emtl"), run_id_of(trained, "equal")
    comparison = compared(new, old, "inconclusive")
    evaluation = logged(comparison, tmp_path / "e", trained.uri)
    client = MlflowClient(trained.uri)
    experiment = client.get_experiment_by_name("evaluations")
    found = client.search_runs([experiment.experiment_id], "tags.verdict = 'inconclusive' and tags.baseline = 'old'")
    assert evaluation in [run.info.run_id for run in found]
    run = client.get_run(evaluation)
    assert f"/runs/{new}" in run.data.tags["mlflow.note.content"] and f"/runs/{old}" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics["new/ctr/auc/difference"] == 0.01 and "new/ctr/auc/difference/p" not in run.data.metrics
    assert load_evaluation(evaluation, client).model_dump_json() == comparison.model_dump_json()
    assert find_evaluation(old, client) is None, "the baseline was compared with nothing"


def test_promotion_heeds_the_evidence(trained: Trained, tmp_path: Path) -> None:
    new, old = run_id_of(trained, "emtl"), run_id_of(trained, "equal")
    uri, client = trained.uri, MlflowClient(trained.uri)
    promote(str(trained.run("equal")), "heeding", "champion", uri)
    logged(compared(new, old, "worse"), tmp_path / "worse", uri)
    with pytest.raises(InputError, match=r"says worse\. So\. --force"):
        promote(str(trained.run("emtl")), "heeding", "champion", uri)
    assert client.get_model_version_by_alias("heeding", "champion").run_id == old
    assert len(client.search_model_versions("name = 'heeding'")) == 1, "nothing is left of what was refused"
    forced = promote(f"runs:/{new}", "heeding", "champion", uri, force=True)
    assert (forced.verdict, forced.version) == ("worse", "2")
    assert client.get_model_version("heeding", "2").tags["forced"] == "true"
    # The newest evaluation counts, and one that is named counts instead of it.
    logged(compared(new, "another", "inconclusive"), tmp_path / "newer", uri)
    promote(f"runs:/{old}", "heeding", "champion", uri, force=True)
    again = promote(f"runs:/{new}", "heeding", "champion", uri)
    assert again.version == "2", "a model that is registered already gets no second version"
    assert again.notes == ["the evaluation was inconclusive", "it was compared with old, which isn't the version 1 that it replaces"]
    with pytest.raises(InputError, match="says worse"):
        promote(f"runs:/{new}", "heeding", "champion", uri, evaluation=str(tmp_path / "worse"))
    with pytest.raises(InputError, match="says nothing of run"):
        promote(f"runs:/{old}", "heeding", "champion", uri, evaluation=str(tmp_path / "worse"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("runs:/0123456789abcdef0123456789abcdef", "not found"),
        ("models:/nobody@champion", "nobody"),
        ("models:/nobody/7", "nobody"),
        ("models:/nobody", "write models:/NAME@ALIAS"),
    ],
)
def test_what_is_not_there_is_named_in_a_line(trained: Trained, source: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        fetch(source, trained.uri)
    assert "\n" not in str(refusal.value)


def test_a_run_without_its_model_and_a_store_that_is_away(trained: Trained, tmp_path: Path) -> None:
    tracker = Tracker(trained.uri, "small", "bare", tmp_path)
    tracker.log_metrics({"a": 1.0}, 0)
    with pytest.raises(InputError, match=r"tracking\.log_model=true"):
        fetch(f"runs:/{tracker.close().run_id}", trained.uri)
    with pytest.raises(InputError, match="no such MLflow store"):
        tracking_uri(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(InputError, match="check the name, and the server"):
        fetch("runs:/0123456789abcdef0123456789abcdef", "http://127.0.0.1:9")


def test_promote_as_a_person_and_a_machine_use_it(trained: Trained, tmp_path: Path) -> None:
    result = tmp_path / "promoted.json"
    given = ("promote", str(trained.run("equal")), "--name", "typed", "--tracking-uri", trained.uri, "--json", str(result))
    ended = command(*given)
    assert ended.returncode == 0, ended.stderr
    assert "models:/typed@champion is version 1" in ended.stdout and ended.stderr == ""
    assert json.loads(result.read_text())["run_id"] == run_id_of(trained, "equal")
