"""`results.md`: what the terminal shows of a study, to paste or to keep beside the code."""

from __future__ import annotations

from pathlib import Path

from recsys.files import write_whole
from recsys.study.analysis.conclusion import RULE
from recsys.study.findings import Findings, Group
from recsys.study.show import columns_of, legend, names_of, ranked

MARKDOWN = "results.md"


def write_markdown(findings: Findings, folder: Path) -> Path:
    """Write the file into `folder`, whole or not at all."""
    write_whole(folder / MARKDOWN, as_markdown(findings))
    return folder / MARKDOWN


def as_markdown(findings: Findings) -> str:
    """The command, a table a group (mean ± standard deviation over seeds on the test split), the conclusion, and what is missing."""
    of = f", {findings.rows:,} test rows of {findings.clusters:,} values of {_plain(findings.cluster)}" if findings.cluster else ""
    parts = [f"# {_plain(findings.study)}", f"```\n{findings.command}\n```", f"{findings.created}{of}."]
    for group in findings.groups:
        parts += [f"## {_plain(group.architecture)}", _table(findings, group), f"{_plain(legend(group))}."]
        parts.append("\n".join(f"- {_plain(sentence)}" for sentence in group.conclusion))
    parts.append(RULE)
    for what, children in (("missing", findings.missing), ("failed", findings.failed)):
        if children:
            parts.append(f"{what}: {_plain(', '.join(children))}")
    parts += [_plain(note) for note in (*findings.notes, *findings.warnings)]
    return "\n\n".join(parts) + "\n"


def _table(findings: Findings, group: Group) -> str:
    entries = ranked(group.entries)
    columns = [names_of(entries), *columns_of(group, entries, findings.tasks)]
    rows = [[column.heading for column in columns], *zip(*(column.cells for column in columns), strict=True)]
    lines = [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"| --- |{' ---: |' * (len(columns) - 1)}", *lines[1:]])


def _plain(text: str | None) -> str:
    """On one line, as it is and not as markup."""
    line = " ".join((text or "").split())
    return "".join(f"\\{letter}" if letter in "\\|*_`<>[]~" else letter for letter in line)
