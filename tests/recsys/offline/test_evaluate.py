"""`recsys evaluate` from end to end, and its figures recomputed from the scores that it keeps, by other libraries."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient
from offline_jobs import Trained, command
from scipy import stats
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from pipelines.cli import app, run
from recsys.evaluation.comparison import Comparison, Difference

FORMULA = "ctr^0.5 * log1p(dwell)"


@dataclass(frozen=True)
class Evaluated:
    """What the command left behind and said."""

    folder: Path
    comparison: Comparison
    scores: pd.DataFrame
    said: str
    errors: str

    def value(self, candidate: str, task: str, metric: str) -> float:
        return next(
            part.value
            for part in self.comparison.estimates
            if (part.candidate, part.task, part.metric, part.slice) == (candidate, task, metric, None)
        )

    def rows(self, task: str) -> pd.DataFrame:
        """Those that count, with plain names."""
        own = self.scores[self.scores[f"valid/{task}"]]
        names = {f"score/emtl/{task}": "emtl", f"score/equal/{task}": "equal", f"label/{task}": "label"}
        return own.rename(columns=names | {"log/user_id": "user"})


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder, result = tmp_path_factory.mktemp("evaluated") / "out", tmp_path_factory.mktemp("json") / "result.json"
    given = [str(trained.run("equal")), f"emtl=runs:/{trained.result('emtl')['run_id']}", "--data", trained.test, "--output", str(folder)]
    options = ["--slices", "surface,hour", "--replicates", "400", "--policy", FORMULA, "--policy", "ctr", "--tracking-uri", trained.uri]
    ended = command("evaluate", *given, *options, "--json", str(result))
    assert ended.returncode == 0, ended.stderr
    assert result.read_text() == (folder / "comparison.json").read_text()
    return Evaluated(folder, Comparison.load(result), pq.read_table(folder / "scores").to_pandas(), ended.stdout, ended.stderr)


def test_estimates_are_those_of_other_libraries(evaluated: Evaluated) -> None:
    for name in ("equal", "emtl"):
        for task in ("ctr", "cvr"):
            rows = evaluated.rows(task)
            score, label = rows[name].to_numpy(np.float64), rows["label"].to_numpy() > 0
            rate = label.mean()
            expected = {
                "auc": roc_auc_score(label, score),
                "auprc": average_precision_score(label, score),
                "log_loss": log_loss(label, score),
                "calibration": score.mean() / rate,
                "normalized_entropy": log_loss(label, score) / stats.entropy([rate, 1 - rate]),
            }
            for metric, value in expected.items():
                assert evaluated.value(name, task, metric) == pytest.approx(value, abs=1e-12), metric
            aucs, weights = [], []
            for _, own in rows.groupby("user"):
                if own["label"].nunique() == 2:
                    aucs.append(roc_auc_score(own["label"], own[name]))
                    weights.append(len(own))
            assert evaluated.value(name, task, "gauc") == pytest.approx(np.average(aucs, weights=weights), abs=1e-12)
        rows = evaluated.rows("dwell")
        score, label = (rows[column].to_numpy(np.float64) for column in (name, "label"))
        assert evaluated.value(name, "dwell", "mae") == pytest.approx(np.abs(score - label).mean(), abs=1e-12)
        in_log = np.sqrt(np.mean((np.log1p(score) - np.log1p(label)) ** 2))
        assert evaluated.value(name, "dwell", "rmse_log1p") == pytest.approx(in_log, abs=1e-12)
        assert evaluated.value(name, "dwell", "spearman") == pytest.approx(stats.spearmanr(score, label).statistic, abs=1e-12)
        observed, predicted = np.sign(label[:, None] - label), np.sign(score[:, None] - score)
        pairs = observed > 0
        assert evaluated.value(name, "dwell", "xauc") == pytest.approx(np.mean((predicted[pairs] + 1) / 2), abs=1e-12)


def clustered(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Difference in AUC, its standard error by Obuchowski's formula, written out over all pairs of rows, and Welch's degrees of freedom."""
    positive = rows["label"].to_numpy() > 0
    users = rows["user"].to_numpy()
    parts = []
    for name in ("emtl", "equal"):
        score = rows[name].to_numpy()
        above = score[positive][:, None] - score[~positive][None, :]
        parts.append(np.where(above > 0, 1.0, np.where(above == 0, 0.5, 0.0)))
    wins = parts[0] - parts[1]
    difference = wins.mean()
    of_positives, of_negatives = wins.mean(1) - difference, wins.mean(0) - difference
    of_user = lambda values, owners: pd.Series(values).groupby(owners).sum()  # noqa: E731
    one = of_user(of_positives / positive.sum(), users[positive])
    other = of_user(of_negatives / (~positive).sum(), users[~positive])
    everyone = pd.Index(np.unique(users))
    both = one.reindex(everyone, fill_value=0.0) * other.reindex(everyone, fill_value=0.0)
    scale = lambda count: count / (count - 1)  # noqa: E731
    sums = (one**2).sum() * scale(len(one)), (other**2).sum() * scale(len(other)), 2 * both.sum() * scale(len(everyone))
    degrees = (sums[0] + sums[1]) ** 2 / (sums[0] ** 2 / (len(one) - 1) + sums[1] ** 2 / (len(other) - 1))
    return float(difference), float(np.sqrt(sum(sums))), degrees


def deciding(evaluated: Evaluated, task: str) -> Difference:
    metric = next(part.metric for part in evaluated.comparison.tasks if part.name == task)
    return next(part for part in evaluated.comparison.differences if (part.task, part.metric, part.slice) == (task, metric, None))


def test_differences_and_their_intervals(evaluated: Evaluated) -> None:
    for task in ("ctr", "cvr"):
        found = deciding(evaluated, task)
        difference, error, degrees = clustered(evaluated.rows(task))
        assert found.difference == pytest.approx(difference, abs=1e-12) and found.method == "delong"
        assert found.high - found.difference == pytest.approx(found.difference - found.low)
        assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, degrees) * error, rel=1e-9)
        assert found.p == pytest.approx(2 * stats.t.sf(abs(difference) / error, degrees), rel=1e-9)
        assert found.minimum_detectable / error == pytest.approx(stats.norm.ppf(0.975) + stats.norm.ppf(0.8), rel=1e-9)
    found, rows = deciding(evaluated, "dwell"), evaluated.rows("dwell")
    squares = {name: (np.log1p(rows[name].astype(float)) - np.log1p(rows["label"].astype(float))) ** 2 for name in ("emtl", "equal")}
    sums = pd.DataFrame(squares | {"rows": 1}).groupby(rows["user"].to_numpy()).sum().to_numpy()
    random = np.random.default_rng(0)
    draws = np.array([sums[random.integers(0, len(sums), len(sums))].sum(0) for _ in range(4000)])
    roots = np.sqrt(draws[:, :2] / draws[:, 2:])
    assert found.method == "bootstrap"
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * (roots[:, 0] - roots[:, 1]).std(), rel=0.15), "400 replicates"


def test_corrections_and_the_verdicts_that_follow(evaluated: Evaluated) -> None:
    parts = [deciding(evaluated, task) for task in ("ctr", "cvr", "dwell")]
    order = np.argsort([part.p for part in parts])
    by_holm = np.maximum.accumulate([(3 - place) * parts[at].p for place, at in enumerate(order)])
    assert [parts[at].p_holm for at in order] == pytest.approx(np.minimum(by_holm, 1).tolist())
    (recommendation,) = evaluated.comparison.recommendations
    for part in parts:
        gain = -1 if part.task == "dwell" else 1
        better = min(gain * part.low, gain * part.high) > 0 and part.p_holm < 0.05
        worse = max(gain * part.low, gain * part.high) < 0
        assert part.verdict == ("better" if better else "worse" if worse else "inconclusive") == recommendation.tasks[part.task]
    failed = "worse" in recommendation.tasks.values()
    assert (recommendation.verdict == "worse") == failed and (recommendation.recommendation == "keep the baseline") >= failed
    slices = [part for part in evaluated.comparison.differences if part.slice and part.metric == deciding(evaluated, part.task).metric]
    assert {part.slice.column for part in slices if part.slice} == {"surface", "hour"}
    asked = [part for part in slices if not np.isnan(part.p)]
    assert [part.p_fdr for part in asked] == pytest.approx(stats.false_discovery_control([part.p for part in asked]).tolist())


def test_slices_are_the_rows_with_a_value(evaluated: Evaluated) -> None:
    rows = evaluated.rows("ctr")
    for surface, own in rows.groupby("log/surface"):
        found = next(
            part
            for part in evaluated.comparison.estimates
            if part.slice and (part.candidate, part.task, part.metric, part.slice.value) == ("emtl", "ctr", "auc", surface)
        )
        assert (found.rows, found.positives, found.groups) == (len(own), own["label"].sum(), own["user"].nunique())
        assert found.value == pytest.approx(roc_auc_score(own["label"], own["emtl"]), abs=1e-12)


def test_trade_offs_rank_by_the_formula(evaluated: Evaluated) -> None:
    for point in evaluated.comparison.trade_offs:
        ctr, dwell = (evaluated.scores[f"score/{point.candidate}/{task}"].astype(float) for task in ("ctr", "dwell"))
        ranking = ctr**0.5 * np.log1p(dwell) if point.formula == FORMULA else ctr
        assert point.values["ctr/auc"] == pytest.approx(roc_auc_score(evaluated.scores["label/ctr"], ranking), abs=1e-12)
    assert any(point.on_front for point in evaluated.comparison.trade_offs)


def test_what_a_person_and_mlflow_get(evaluated: Evaluated, trained: Trained) -> None:
    (recommendation,) = evaluated.comparison.recommendations
    assert f"emtl against equal: {recommendation.verdict}" in evaluated.said and evaluated.errors == ""
    assert " ".join(recommendation.words.split()) in " ".join(evaluated.said.split())
    page = (evaluated.folder / "page.html").read_text()
    assert recommendation.recommendation.lower() in page.lower()
    client = MlflowClient(trained.uri)
    experiment = client.get_experiment_by_name("evaluations")
    ids = trained.result("emtl")["run_id"], trained.result("equal")["run_id"]
    wanted = f"tags.verdict = '{recommendation.verdict}' and tags.candidate_runs like '%{ids[0]}%'"
    (run_found,) = [
        found
        for found in client.search_runs([experiment.experiment_id], wanted)
        if found.data.params.get("rows") == str(evaluated.comparison.data.rows)
    ]
    assert run_found.data.tags["baseline"] == "equal" and ids[1] in run_found.data.tags["candidate_runs"]
    assert {file.path for file in client.list_artifacts(run_found.info.run_id)} == {"comparison.json", "page.html"}
    assert run_found.data.metrics["emtl/ctr/auc/difference"] == deciding(evaluated, "ctr").difference


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it refuses, with exit code 2, in this process."""
    with pytest.raises(SystemExit) as ended:
        run(lambda: app(["evaluate", *arguments]))
    assert ended.value.code == 2
    return capsys.readouterr().err


def changed(trained: Trained, folder: Path, **task: object) -> str:
    """A copy of a run whose second task is another question."""
    shutil.copytree(trained.run("emtl"), folder)
    document = yaml.safe_load((folder / "config.yaml").read_text())
    document["tasks"][1] |= task
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    return str(folder)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"space": None}, "the sample space of candidate other is all rows, that of equal click"),
        ({"label": "click"}, "the label column of candidate other is click, that of equal conversion"),
        ({"name": "buy"}, "candidate other has no task 'cvr'"),
    ],
)
def test_candidates_of_other_questions_are_refused(
    trained: Trained, tmp_path: Path, task: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (str(trained.run("equal")), changed(trained, tmp_path / "other", **task), "--data", trained.test)
    assert message in refused(*given, "--output", str(tmp_path / "out"), capsys=capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slices", "surfaec"], "--slices: the log has no column 'surfaec'; did you mean 'surface'?"),
        (["--baseline", "eqal"], "--baseline: no candidate is called 'eqal'; did you mean 'equal'?"),
        (["--margin", "crt=0.1"], "--margin: there is no task 'crt'"),
        (["--margin", "ctr=-1"], "must be a number not below 0"),
        (["--policy", "ctr *"], "expected a number, a task"),
        (["--policy", "ctr", "--reward", "click"], "--request, --propensity"),
        (["--tasks", "nothing"], "--tasks: there is no task 'nothing'"),
        (["--output", "."], "is not empty"),
    ],
)
def test_what_does_not_fit_is_refused_before_scoring(
    trained: Trained, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [] if "--output" in options else ["--output", str(tmp_path / "out")]
    given = (str(trained.run("equal")), str(trained.run("emtl")), "--data", trained.test)
    assert message in refused(*given, *options, *output, capsys=capsys)


def test_a_model_against_itself_on_rows_that_it_knows(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "result.json"
    given = [f"one={trained.run('emtl')}", f"two={trained.run('emtl')}", "--data", str(trained.log / "split=train" / "date=2024-01-01")]
    given[-1] = str(next((trained.log / "split=train").iterdir()))
    options = ["--output", str(tmp_path / "out"), "--replicates", "100", "--experiment", "", "--json", str(result), "--slices", "surface"]
    app(["evaluate", *given, *options], standalone_mode=False)
    comparison = Comparison.load(result)
    assert {part.difference for part in comparison.differences} == {0.0} and {part.p for part in comparison.differences} == {1.0}
    assert comparison.recommendations[0].verdict == "inconclusive"
    assert any("two was trained on 1 of the 1 files" in warning for warning in comparison.warnings)
    assert json.loads(result.read_text())["data"]["group"] == "user_id"
