from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from outcome_cases import TASKS, Log, outcome, study

from recsys.errors import InputError
from recsys.evaluation.bootstrap import bootstrap
from recsys.evaluation.groups import group_codes
from recsys.evaluation.seeds import over_seeds
from recsys.evaluation.weighted import binary_statistic
from recsys.study.analysis.entries import setting_key
from recsys.study.analysis.summarise import About, Budget, summarise
from recsys.study.child import Child
from recsys.study.findings import Findings
from recsys.study.outcome import Outcome
from recsys.study.results import metrics_of, write_results

ABOUT = About("demo", "recsys compare configs/demo.yaml")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def findings(outcomes: list[Outcome]) -> Findings:
    return summarise(outcomes, TASKS, ABOUT, replicates=300)


def test_the_interval_is_that_of_recsys_evaluate(outcomes: list[Outcome], findings: Findings) -> None:
    """Seeds and an exact bootstrap over users, on the files of scores, as `recsys evaluate` combines them."""
    tables = {(part.child.strategy, part.child.seed): pq.read_table(part.scores.folder) for part in outcomes if part.scores}
    log = Log()
    clicks, conversions = log.labels[:2]
    users = group_codes(log.users)
    statistics = {
        key: binary_statistic(table["score/run/cvr"].to_numpy()[clicks], conversions[clicks], users[clicks])
        for key, table in tables.items()
    }
    replicates = bootstrap(statistics, 400, 300)
    own = [replicates[("famo", seed), "auc"] - replicates[("equal", seed), "auc"] for seed in range(3)]
    found = findings.groups[0].difference("famo", "equal", "cvr")
    expected = over_seeds(found.differences, own, 400)
    assert (found.rows_deviation, found.seeds_deviation) == (pytest.approx(expected.rows_deviation, rel=0.05), expected.seeds_deviation)
    assert (found.low, found.high) == (pytest.approx(expected.mean.low, abs=1e-3), pytest.approx(expected.mean.high, abs=1e-3))


def test_what_is_worse_is_found_and_everything_is_told(outcomes: list[Outcome], findings: Findings) -> None:
    (group,) = findings.groups
    assert [entry.name for entry in group.entries] == ["emtl", "equal", "famo", "single"]
    assert group.entry("famo").worse == ["ctr", "cvr", "dwell"] and group.entry("emtl").better == []
    assert (findings.rows, findings.clusters, findings.cluster) == (4_000, 400, "user_id")
    assert group.entry("emtl").test["ctr"].values == [part.metrics["test/ctr/auc"] for part in outcomes if part.child.strategy == "emtl"]
    assert group.entry("equal").step_cost == 1 and group.entry("equal").run_ids == [f"id-equal-mmoe-{seed}" for seed in range(3)]
    assert math.isnan(group.entry("single").conflict) and group.reference == "single"
    assert any("Worse than equal beyond doubt" in sentence and "famo (ctr" in sentence for sentence in group.conclusion)


def test_an_unfinished_study_says_what_it_has(outcomes: list[Outcome], tmp_path: Path) -> None:
    part = [found for found in outcomes if found.child.seed < 2 or found.child.strategy != "emtl"]
    found = summarise(part[:-1], TASKS, replace(ABOUT, missing=["emtl-mmoe-2"], failed=["single-single-2"]), replicates=50)
    assert found.groups[0].entry("emtl").seeds == [0, 1] and found.groups[0].ranking.left_out == []
    assert (found.missing, found.failed) == (["emtl-mmoe-2"], ["single-single-2"])
    nothing = summarise([], TASKS, ABOUT)
    assert nothing.groups == [] and nothing.rows == 0
    write_results(nothing, tmp_path)


def test_without_kept_scores_intervals_hold_the_seeds_alone_and_it_is_said(tmp_path: Path) -> None:
    found = summarise(study(tmp_path, keep=False), TASKS, ABOUT)
    assert found.rows == 0 and "12 children kept no test scores" in found.warnings[0]
    part = found.groups[0].difference("famo", "equal", "ctr")
    assert math.isnan(part.rows_deviation) and not math.isnan(part.low)


def test_children_of_other_rows_are_refused(outcomes: list[Outcome], tmp_path: Path) -> None:
    log = Log(seed=1)
    stranger = outcome(log, Child("emtl", "mmoe", 9), tmp_path)
    with pytest.raises(InputError, match=r"emtl-mmoe-9: its rows, labels or users of ctr aren't those of .*children of one study"):
        summarise([*outcomes, stranger], TASKS, ABOUT, replicates=10)


def test_settings_and_architectures_are_entries_and_groups_of_their_own(tmp_path: Path) -> None:
    log = Log()
    children = [Child("single", "single", seed) for seed in range(2)]
    for architecture in ("mmoe", "ple"):
        children += [Child("equal", architecture, seed) for seed in range(2)]
        children += [Child("emtl", architecture, seed, {"mto.rho": rho}) for rho in (0.1, 1) for seed in range(2)]
        children += [Child("tuned", architecture, seed, {"mto.weights": [1, 2, 3]}) for seed in range(2)]
        children += [Child("tuned", architecture, 0, {"mto.weights": [1, trial, 1]}, "search") for trial in range(5)]
    budgets = {("tuned", architecture, setting_key({"mto.weights": [1, 2, 3]})): Budget(6, 5) for architecture in ("mmoe", "ple")}
    found = summarise([outcome(log, child, tmp_path, keep=False) for child in children], TASKS, replace(ABOUT, budgets=budgets))
    assert [group.architecture for group in found.groups] == ["mmoe", "ple"]
    for group in found.groups:
        assert [entry.name for entry in group.entries] == ["emtl rho=0.1", "emtl rho=1", "equal", "single", "tuned"]
        assert [entry.tried for entry in group.entries] == [1, 1, 1, 1, 6]
        assert group.entry("tuned").setting == {"mto.weights": [1, 2, 3]} and group.entry("tuned").seeds == [0, 1]
        assert group.entry("tuned").search_trainings == 5
        assert group.difference("emtl rho=1", "tuned", "dwell")
    assert "ple/emtl rho_0.1/ctr/auc" in metrics_of(found)


def test_files_hold_the_same_figures(findings: Findings, tmp_path: Path) -> None:
    write_results(findings, tmp_path)
    text = (tmp_path / "results.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    json.loads(text)
    loaded = Findings.load(tmp_path / "results.json")
    assert loaded.model_dump_json() == findings.model_dump_json()
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    group = findings.groups[0]
    for row in rows:
        entry = group.entry(row["name"])
        assert float(row["test/cvr/auc"]) == entry.test["cvr"].mean and float(row["delta_m/low"]) == entry.delta_m.low
        if entry.name != "equal":
            part = group.difference(entry.name, "equal", "dwell")
            assert (float(row["to_equal/dwell/p_holm"]), row["to_equal/dwell/verdict"]) == (part.p_holm, part.verdict)
    metrics = metrics_of(findings)
    assert metrics["famo/ctr/auc"] == group.entry("famo").test["ctr"].mean
    assert metrics["famo/ctr/auc/to_equal/high"] == group.difference("famo", "equal", "ctr").high
    assert all(math.isfinite(value) for value in metrics.values())
    with pytest.raises(InputError, match=r"results.csv: not a study's results"):
        Findings.load(tmp_path / "results.csv")
