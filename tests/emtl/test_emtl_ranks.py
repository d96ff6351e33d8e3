"""Real processes under DDP: all ranks agree, and with one process on the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from torch import multiprocessing

import emtl

CASES = list(ranks.cases())


@pytest.fixture(scope="module")
def alone() -> list[dict[str, Any]]:
    return [ranks.run(0, 1, case) for case in CASES]


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.slow)])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """The results of each rank, by case."""
    world = request.param
    folder = tmp_path_factory.mktemp(f"ranks{world}")
    if world == 1:
        ranks.main(0, 1, str(folder))
    else:
        multiprocessing.spawn(ranks.main, args=(world, str(folder)), nprocs=world)
    return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda index: str(CASES[index]))
def test_ranks_agree_with_each_other_and_with_one_process(
    index: int, together: list[list[dict[str, Any]]], alone: list[dict[str, Any]]
) -> None:
    """To rounding; under autocast a sum over rows is rounded to bfloat16 once a rank, so there the ranks alone agree exactly."""
    case, expected, results = CASES[index], alone[index], [rank[index] for rank in together]
    tolerance = 0.05 if case.autocast else 1e-6 if case.dtype == torch.float32 else 1e-10
    for name, wanted in expected.items():
        for result in results:
            if wanted is None:
                assert result[name] is None, name
                continue
            assert torch.equal(result[name], results[0][name]), name
            torch.testing.assert_close(result[name], wanted, rtol=5 * tolerance, atol=tolerance * float(wanted.abs().max() + 1), msg=name)


def test_every_strategy_is_among_the_cases() -> None:
    assert {case.strategy[0] for case in CASES} == set(emtl.names())


def test_the_cases_have_an_absent_task_and_unequal_weights(alone: list[dict[str, Any]]) -> None:
    weights = alone[0]["weights"]
    assert weights[1, 2] == 0
    assert weights[1].sum().item() == pytest.approx(2)
    assert (weights[0].max() / weights[0].min()).item() > 5
