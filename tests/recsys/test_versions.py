"""The trio check names what is wrong and stays silent when nothing is."""

from __future__ import annotations

import pytest

from recsys.versions import mismatch


@pytest.mark.parametrize(
    "versions",
    [("2.13.0+cpu", "1.8.0", "1.8.0+cpu.shim", "1.8.0"), ("2.13.0", "1.8.0", "1.8.0", None), ("2.13.0+cu130", "1.8.0", "1.8.0", None)],
)
def test_fitting_trios_pass(versions: tuple[str | None, ...]) -> None:
    assert mismatch(*versions) is None


@pytest.mark.parametrize(
    ("versions", "named"),
    [
        (("2.12.0", "1.8.0", "1.8.0", None), "torch 2.12.0"),
        (("2.13.0", "1.7.0", "1.8.0", None), "torchrec 1.7.0"),
        (("2.13.0+cpu", "1.8.0", "1.9.0+cpu.shim", "1.9.0"), "fbgemm 1.9.0"),
        (("2.13.0", "1.8.0", None, None), "fbgemm absent"),
        (("2.13.0", "1.8.0", "1.8.0", "1.8.0"), "both the CUDA build"),
        (("2.13.0+cpu", "1.8.0", "1.8.0", None), "is a CPU build"),
    ],
)
def test_a_mismatch_is_named(versions: tuple[str | None, ...], named: str) -> None:
    problem = mismatch(*versions)
    assert problem is not None and named in problem
