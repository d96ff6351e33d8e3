"""docs/emtl.md: its code runs and does what it says, and its table is that of the registry."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist

import emtl
from emtl import reference, strategy

DOCUMENT = Path(__file__).parents[2] / "docs" / "emtl.md"


def section(heading: str) -> str:
    """What stands under a heading."""
    return DOCUMENT.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def run(heading: str) -> dict[str, Any]:
    """The names that the section's one block of code leaves behind."""
    (code,) = re.findall(r"^```python\n(.*?)^```", section(heading), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


@pytest.fixture
def one_rank(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What torchrun tells the only process of a job."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def registry() -> Iterator[None]:
    """Strategies that a test registers are gone after it."""
    before = dict(strategy._registry)
    yield
    strategy._registry.clear()
    strategy._registry.update(before)


def assert_trained(names: dict[str, Any]) -> None:
    """The small task, which is a thousandth or less of the sum, was learnt: it explains most of its labels' variance."""
    balancer, labels = names["balancer"], names["labels"]
    assert balancer.weights.sum().item() == pytest.approx(2)
    assert balancer.weights[0] > 10 * balancer.weights[1]
    assert balancer.losses[0] < 0.3 * labels[:, 0].var()


def test_the_plain_loop() -> None:
    assert_trained(run("In a plain PyTorch loop"))


def test_the_loop_with_ddp(one_rank: None) -> None:
    assert_trained(run("With DDP"))


def test_the_loop_with_torchrec(one_rank: None) -> None:
    pytest.importorskip("torchrec")
    assert_trained(run("With TorchRec"))


def test_the_example_of_a_strategy(registry: None) -> None:
    """At loss / first loss of .5 and 1: softmax of 1 and 2, times the two tasks present."""
    names = run("Adding a strategy")
    expected = 2 * torch.tensor([1.0, 2.0], dtype=torch.float64).softmax(0)
    torch.testing.assert_close(names["weights"], torch.tensor([*expected.tolist(), 0.0], dtype=torch.float64))
    assert "laggard" in emtl.names()
    with pytest.raises(ValueError, match="temperature must be at least 1e-06, but got 0"):
        emtl.create("laggard", 3, temperature=0)
    with pytest.raises(ValueError, match="the loss of task 1 is -1"):
        emtl.create("laggard", 2).weights(torch.tensor([1.0, -1.0]))


def test_the_strategies_that_are_recommended_exist() -> None:
    rows = [line for line in section("When to use which").splitlines() if line.startswith("| ")][2:]
    recommended = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])]
    assert len(recommended) > 10
    assert set(recommended) <= set(emtl.names())


def test_the_table_is_that_of_the_registry() -> None:
    document = DOCUMENT.read_text()
    assert document == reference.updated(document), "run: make generated"


def test_every_row_of_the_table_is_whole() -> None:
    rows = reference.table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == emtl.names()
    for row in rows:
        cells = re.split(r"(?<!\\)\|", row)[1:-1]
        assert len(cells) == 4
        assert len(cells[1]) > 10


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="the document has no lines"):
        reference.updated("# emtl")


def test_the_figure_is_there() -> None:
    (figure,) = re.findall(r"!\[[^]]+\]\((\S+)\)", DOCUMENT.read_text())
    assert "<svg" in (DOCUMENT.parent / figure).read_text()
