"""Seeds, policies and files of scores in an evaluation, against what their construction says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from offline_jobs import Trained
from rich.console import Console

from pipelines.cli import app
from recsys.errors import InputError
from recsys.evaluation.comparison import Comparison
from recsys.offline.scoring import score


def evaluate(output: Path, *arguments: str) -> Comparison:
    """The command in this process, outside MLflow."""
    app(["evaluate", *arguments, "--output", str(output), "--experiment", "", "--replicates", "100"], standalone_mode=False)
    return Comparison.load(output / "comparison.json")


def as_seed(trained: Trained, name: str, seed: int, folder: Path) -> Path:
    """A copy of a run's folder that says it was trained under `emtl` with another seed."""
    shutil.copytree(trained.run(name), folder)
    document = yaml.safe_load((folder / "config.yaml").read_text())
    document["run"]["seed"], document["mto"] = seed, {"strategy": "emtl"}
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    return folder


def test_seeds_are_paired_and_their_spread_is_told_apart(trained: Trained, tmp_path: Path) -> None:
    # Seed 1 has the models of seed 0 the other way round, so the differences are d and -d.
    first, second = (str(as_seed(trained, *which)) for which in (("emtl", 0, tmp_path / "a0"), ("equal", 1, tmp_path / "a1")))
    third, fourth = (str(as_seed(trained, *which)) for which in (("equal", 0, tmp_path / "b0"), ("emtl", 1, tmp_path / "b1")))
    comparison = evaluate(tmp_path / "out", f"old={third},{fourth}", f"new={second},{first}", "--data", trained.test)
    assert [part.run_ids for part in comparison.candidates] == [
        [trained.result(name)["run_id"] for name in names] for names in (("equal", "emtl"), ("emtl", "equal"))
    ]
    for spread in comparison.seeds:
        assert spread.seeds == [0, 1] and spread.mean == pytest.approx(0, abs=1e-15)
        assert spread.differences[0] == -spread.differences[1]
        assert spread.seeds_deviation == pytest.approx(abs(spread.differences[0]) * np.sqrt(2))
        assert spread.high >= abs(spread.differences[0]), "two seeds that contradict each other leave both open"
    assert {part.metric for part in comparison.seeds if part.task == "ctr"} >= {"auc", "log_loss", "gauc"}
    assert set(comparison.recommendations[0].tasks.values()) == {"inconclusive"}
    assert any("two seeds each" in warning for warning in comparison.warnings)


def test_runs_that_are_no_seeds_of_one_candidate_are_refused(trained: Trained, tmp_path: Path) -> None:
    other = str(as_seed(trained, "emtl", 1, tmp_path / "s1"))
    emtl, equal = (str(trained.run(name)) for name in ("emtl", "equal"))
    others = ",".join(str(as_seed(trained, "equal", seed, tmp_path / f"s{seed}")) for seed in (2, 3))
    for given, message in (
        ([f"new={emtl},{equal}", f"old={equal}"], "have the same run.seed"),
        ([f"new={equal},{other}", f"old={equal}"], "differ in mto"),
        ([f"new={emtl},{other}", f"old={others}"], "compared seed by seed"),
        ([equal, equal], "are called 'equal'"),
        ([equal], "one candidate can't be compared"),
        ([equal, str(tmp_path / "nowhere")], "there is no such file or folder"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(tmp_path / "out", *given, "--data", trained.test)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.fixture(scope="module")
def requests(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of the training log in requests of a user, of whose rows one was shown, drawn uniformly."""
    table = pq.read_table(next((trained.log / "split=train").rglob("*.parquet")))
    users = table["user_id"].to_numpy()
    order = np.argsort(users, kind="stable")
    place = np.empty(len(users), np.int64)
    starts = np.flatnonzero(np.diff(users[order], prepend=-1))
    place[order] = np.arange(len(users)) - np.repeat(starts, np.diff(starts, append=len(users)))
    request = np.unique(users * 10_000 + place // 3, return_inverse=True)[1]
    sizes = np.bincount(request)
    draw = np.random.default_rng(0).random(len(users))
    chosen = np.zeros(len(users), np.int8)
    chosen[[np.flatnonzero(request == one)[np.argmax(draw[request == one])] for one in range(sizes.size)]] = 1
    columns = {"request": request, "was_shown": chosen, "chance": 1 / sizes[request]}
    columns["conversion"] = table["conversion"].fill_null(0)
    path = tmp_path_factory.mktemp("requests") / "log.parquet"
    pq.write_table(pa.table({name: table[name] for name in table.schema.names} | columns), path)
    return path


def test_policies_are_worth_what_their_formulas_say(trained: Trained, requests: Path, tmp_path: Path) -> None:
    models = [str(trained.run(name)) for name in ("equal", "emtl")]
    columns = ["--request", "request", "--shown", "was_shown", "--propensity", "chance", "--reward", "conversion", "--user", "user_id"]
    options = ["--policy", "ctr", "--at", "1,2", "--item-duration", "item_seconds", "--time", "time_ms"]
    comparison = evaluate(tmp_path / "out", *models, "--data", str(requests), *columns, *options)
    rows = pq.read_table(tmp_path / "out" / "scores").to_pandas()
    for name in ("equal", "emtl"):
        highest = rows.groupby("log/request")[f"score/{name}/ctr"].transform("max") == rows[f"score/{name}/ctr"]
        policy = highest / highest.groupby(rows["log/request"]).transform("sum")
        weight = policy * rows["log/was_shown"] / rows["log/chance"]
        found = {part.estimator: part for part in comparison.policies if part.candidate == name}
        ips = (weight * rows["log/conversion"]).sum() / rows["log/request"].nunique()
        assert found["ips"].value == pytest.approx(ips, abs=1e-12)
        assert found["snips"].value == pytest.approx((weight * rows["log/conversion"]).sum() / weight.sum(), abs=1e-12)
        assert found["logged"].value == pytest.approx(rows.loc[rows["log/was_shown"] == 1, "log/conversion"].mean(), abs=1e-12)
        model = rows[f"score/{name}/ctr"].astype(float) * rows[f"score/{name}/cvr"].astype(float)
        doubly = (policy * model + weight * (rows["log/conversion"] - model)).sum() / rows["log/request"].nunique()
        assert found["doubly_robust"].value == pytest.approx(doubly, abs=1e-12)
    assert {part.metric for part in comparison.estimates} >= {"recall@1", "ndcg@2", "rmse_by_duration"}
    assert any("was trained on rows up to" in warning and "evaluated on rows from" in warning for warning in comparison.warnings)


def test_the_hour_comes_from_the_time(trained: Trained, requests: Path, tmp_path: Path) -> None:
    request = trained.request(tmp_path).model_copy(update={"data": [str(requests)], "columns": {"hour": "--slices"}})
    score(request, Console(quiet=True))
    expected = pq.read_table(request.scores)["log/hour"].to_numpy()
    derived = request.model_copy(update={"columns": {}, "hours": "time_ms", "output": tmp_path / "derived"})
    score(derived, Console(quiet=True))
    assert (pq.read_table(derived.scores)["log/hour"].to_numpy() == expected).all() and len(set(expected.tolist())) > 5


def test_files_of_scores_are_compared_without_any_model(trained: Trained, tmp_path: Path) -> None:
    models = evaluate(tmp_path / "models", str(trained.run("equal")), str(trained.run("emtl")), "--data", trained.test)
    kept = pq.read_table(tmp_path / "models" / "scores")
    for name in ("equal", "emtl"):
        theirs = {task.name: kept[f"score/{name}/{task.name}"] for task in models.tasks}
        pq.write_table(pa.table({"file": kept["file"], "row": kept["row"], **theirs}), tmp_path / f"{name}.parquet")
    given = [str(tmp_path / f"{name}.parquet") for name in ("equal", "emtl")]
    with pytest.raises(InputError, match="--config"):
        evaluate(tmp_path / "refused", *given, "--data", trained.test)
    files = evaluate(tmp_path / "files", *given, "--data", trained.test, "--config", str(trained.run("emtl") / "config.yaml"))
    assert [part.kind for part in files.candidates] == ["scores", "scores"]
    assert files.estimates == models.estimates and files.differences == models.differences
    mixed = evaluate(tmp_path / "mixed", str(trained.run("equal")), f"theirs={given[1]}", "--data", trained.test)
    assert [part.difference for part in mixed.differences] == [part.difference for part in models.differences]
