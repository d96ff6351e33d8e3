"""`recsys report`: what a study found, from what is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from recsys.errors import InputError
from recsys.quiet import quieten


def report(
    study: Annotated[Path, typer.Argument(help="Folder of the study, such as studies/kuairand.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results for machines.")] = None,
) -> None:
    """Make a study's tables, page and figures again, also while it runs: what is still missing is named."""
    quieten()
    from rich.console import Console

    from recsys.config_file import load_config
    from recsys.offline.scoring import progress
    from recsys.study.folder import StudyFolder
    from recsys.study.outcome import read_outcomes
    from recsys.study.record import StudyRecord
    from recsys.study.report import about
    from recsys.study.report import report as make
    from recsys.study.results import JSON
    from recsys.study.show import show

    folder, console = StudyFolder(study), Console()
    record = StudyRecord.load(folder.study)
    outcomes = [outcome for outcome in read_outcomes(folder) if outcome.child.stage == "final"]
    if not outcomes:
        raise InputError(f"{study}: none of its {len(record.finals())} trainings to be reported has ended yet")
    tasks = load_config(folder.config).tasks
    with progress("comparing", len(outcomes) * len(tasks), console) as advance:
        findings, _ = make(outcomes, tasks, about(record, [outcome.child.name for outcome in outcomes]), study, advance)
    show(console, findings)
    console.print(f"\nresults.json, .csv and .md, page.html and figures/ are in {study}", highlight=False)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(study / JSON, json_file)
