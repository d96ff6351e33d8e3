"""Weights against values computed with 60 digits and by the methods' published code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import emtl


def proportional(actual: Tensor, expected: list[float], tolerance: float) -> None:
    target = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual / actual.sum(), target / target.sum(), rtol=tolerance, atol=0)


def test_normalized_and_emtl_at_alpha_one(reference: Path) -> None:
    """1 / s is the first step of DB-MTL without its average (which adds 1e-8 to norms: the tolerance), and IMTL-G for K = 2."""
    cases = json.loads((reference / "mto_vectors.json").read_text())["cases"]
    compared = 0
    for case in cases:
        losses, gram = torch.tensor(case["losses"], dtype=torch.float64), torch.tensor(case["G"], dtype=torch.float64)
        normalized = emtl.create("normalized", len(losses)).weights(losses, gram)
        official = case["official"]["DB-MTL first step, no EMA, J = d log(loss)"]["weights"]
        added = 2e-8 / gram.diagonal().sqrt().min().item()
        proportional(normalized, official, added)
        proportional(emtl.create("emtl", len(losses), alpha=1.0, beta=0.0).weights(losses, gram), official, added)
        assert normalized.sum().item() == pytest.approx(len(losses))
        if len(losses) == 2 and case["exact"].get("IMTLG"):
            proportional(normalized, case["exact"]["IMTLG"], 1e-10)
            compared += 1
    assert compared >= 4
