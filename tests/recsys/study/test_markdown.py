from __future__ import annotations

from markdown_it import MarkdownIt
from study_cases import made_field, made_findings

from recsys.study.markdown import as_markdown
from recsys.study.show import columns_of, names_of, ranked


def test_a_reader_of_markdown_sees_what_the_terminal_shows() -> None:
    """Read back by a parser of its own."""
    found = made_findings(made_field(4, 3, 50, planted={"s2": (0.0, -0.05, 0.0)}))
    group = found.groups[0]
    group = group.model_copy(
        update={"entries": [entry.model_copy(update={"name": f"{entry.name} weights=[1|2_3]*<b>"}) for entry in group.entries]}
    )
    found = found.model_copy(update={"groups": [group], "warnings": ["few `seeds`"], "failed": ["s1-mmoe-0"]})
    tokens = MarkdownIt("commonmark").enable("table").parse(as_markdown(found))
    texts = ["".join(child.content for child in token.children or []) for token in tokens if token.type == "inline"]
    assert not any(
        child.type in ("em_open", "strong_open", "html_inline", "link_open") for token in tokens for child in token.children or []
    )
    entries = ranked(group.entries)
    columns = [names_of(entries), *columns_of(group, entries, found.tasks)]
    for column in columns:
        for cell in (column.heading, *column.cells):
            assert " ".join(cell.split()) in texts
    rows = sum(token.type == "tr_open" for token in tokens)
    assert rows == 1 + len(entries)
    assert {"few `seeds`", "failed: s1-mmoe-0", *(" ".join(sentence.split()) for sentence in group.conclusion)} <= set(texts)
    assert [token.content.strip() for token in tokens if token.type == "fence"] == [found.command]
