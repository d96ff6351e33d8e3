from __future__ import annotations

import json
from pathlib import Path

import pytest
from outcome_cases import TASKS, on_disk, study

from pipelines.report import report
from recsys.config_file import load_config
from recsys.errors import InputError
from recsys.study.findings import Findings
from recsys.study.folder import StudyFolder
from recsys.study.record import Failed

CONFIG = Path(__file__).parents[3] / "configs/demo.yaml"


def test_an_unfinished_study_is_reported_with_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = StudyFolder(tmp_path / "study")
    config = load_config(CONFIG).model_copy(update={"tasks": TASKS})
    record = on_disk(study(tmp_path / "scores"), folder, seeds=[0, 1, 2, 3], config=config)
    record.failed.append(Failed(child="emtl-mmoe-3", line="the loss of cvr is not finite", log="x.log"))
    record.lines[-1].chosen = None
    record.save(folder.study)
    report(folder.path, tmp_path / "results.json")
    said = capsys.readouterr().out
    found = Findings.load(tmp_path / "results.json")
    assert found.failed == ["emtl-mmoe-3"] and found.missing == ["famo, mmoe", "single-single-3", "equal-mmoe-3"]
    assert all(len(line) <= 80 for line in said.splitlines())
    for number in (f"{found.groups[0].entry('famo').test['dwell'].mean:.4f}", f"{found.groups[0].entry('emtl').delta_m.high:+.2f}"):
        assert number in said  # no digit is cut off
    assert "…" not in said and "Worse than equal beyond doubt" in said and "failed: emtl-mmoe-3" in said
    assert json.loads((folder.path / "results.json").read_text())["study"] == "demo"
    assert {path.name for path in folder.path.iterdir()} >= {"results.csv", "results.md", "page.html", "figures"}
    assert {path.name for path in (folder.path / "figures").iterdir()} == {"delta_m.png", "trade_offs.png", "weights.png", "ranks.png"}


def test_what_holds_no_study_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study.json: is not the record of a study"):
        report(tmp_path, None)
    folder = StudyFolder(tmp_path / "study")
    on_disk([], folder, seeds=[0], config=load_config(CONFIG))
    with pytest.raises(InputError, match="none of its 0 trainings to be reported has ended yet"):
        report(folder.path, None)
