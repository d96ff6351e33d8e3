"""Task losses and predictions against independent references."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import make_batch, make_layout, make_tasks
from scipy.special import huber
from sklearn.metrics import log_loss, mean_absolute_error

from recsys.models.tasks import label_weight, predict, starting_outputs, task_losses

SCALES = st.floats(1e-3, 1e3)


def test_losses_are_the_weighted_means_over_valid_rows() -> None:
    """Log loss by scikit-learn, Huber by scipy; the conversion task counts double."""
    batch, tasks = make_batch(make_layout(), 60), make_tasks()
    outputs = torch.randn(60, 3, dtype=torch.float64) * 2
    got = task_losses(outputs, batch, tasks, label_weight(batch).wait()).double().numpy()
    raw, labels, masks, weights = outputs.numpy(), batch.labels.numpy(), batch.masks.numpy(), batch.weights.numpy()
    for k, factor in [(0, 1.0), (1, 2.0)]:
        valid = masks[:, k]
        reference = log_loss(labels[valid, k], 1 / (1 + np.exp(-raw[valid, k])), sample_weight=weights[valid])
        assert got[k] == pytest.approx(factor * reference, abs=1e-6)
    valid = masks[:, 2]
    residual = raw[valid, 2] - np.log1p(labels[valid, 2])
    assert got[2] == pytest.approx(np.average(huber(2.0, residual), weights=weights[valid]), abs=1e-5)


def test_starting_outputs_are_the_best_constants() -> None:
    """Against a scan over constants; nothing is predicted to be certain from a few rows."""
    batch, tasks = make_batch(make_layout(), 4000), make_tasks()
    total = label_weight(batch).wait()
    starts = starting_outputs(batch, tasks, total)
    outputs = starts.expand(4000, 3)
    least = task_losses(outputs, batch, tasks, total)
    for shift in (-0.05, 0.05):
        nearby = task_losses(outputs + shift, batch, tasks, total)
        assert (nearby[:2] > least[:2]).all()
    valid = batch.masks[:, 2]
    mean = np.average(np.log1p(batch.labels[valid, 2].numpy()), weights=batch.weights[valid].numpy())
    assert starts[2].item() == pytest.approx(mean, abs=1e-3)
    batch.labels[:, 0] = 1
    batch.masks[:, 1] = False
    assert starting_outputs(batch, tasks, label_weight(batch).wait()).isfinite().all()


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 20), parts=st.integers(1, 4), seed=st.integers(0, 1000), absent=st.sets(st.integers(0, 2)), scale=SCALES)
def test_the_mean_over_ranks_is_the_global_loss(rows: int, parts: int, seed: int, absent: set[int], scale: float) -> None:
    """Whichever way rows are dealt, and whatever ranks have no label; a common factor of the weights changes nothing."""
    own, tasks = make_layout(), make_tasks()
    batch = make_batch(own, rows, seed)
    batch.masks[:, list(absent)] = False
    outputs = torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed))
    total = label_weight(batch).wait()
    whole = task_losses(outputs, batch, tasks, total)
    bounds = np.linspace(0, rows, parts + 1).astype(int)
    dealt = []
    for low, high in pairwise(bounds):
        part = make_batch(own, rows, seed, slice(low, high))
        part.masks[:, list(absent)] = False
        dealt.append(task_losses(outputs[low:high], part, tasks, total, parts))
    torch.testing.assert_close(torch.stack(dealt).mean(dim=0), whole, rtol=1e-4, atol=1e-6)
    assert (whole[list(absent)] == 0).all()
    batch.weights = batch.weights * scale
    torch.testing.assert_close(task_losses(outputs, batch, tasks, label_weight(batch).wait()), whole, rtol=1e-4, atol=1e-6)


def test_rows_without_a_label_change_nothing() -> None:
    batch, tasks = make_batch(make_layout(), 30), make_tasks()
    outputs = torch.randn(30, 3, requires_grad=True)
    before = task_losses(outputs, batch, tasks, label_weight(batch).wait())
    before.sum().backward()
    assert (outputs.grad[~batch.masks] == 0).all()
    assert (outputs.grad[batch.masks] != 0).all()
    batch.labels = torch.where(batch.masks, batch.labels, torch.ones(()))
    torch.testing.assert_close(task_losses(outputs, batch, tasks, label_weight(batch).wait()), before, rtol=0, atol=0)


def test_no_label_at_all_gives_zeros_and_zero_gradients() -> None:
    batch, tasks = make_batch(make_layout(), 5), make_tasks()
    batch.masks[:] = False
    outputs = torch.randn(5, 3, requires_grad=True)
    losses = task_losses(outputs, batch, tasks, label_weight(batch).wait())
    losses.sum().backward()
    assert (losses == 0).all()
    assert (outputs.grad == 0).all()


def test_extreme_outputs_stay_finite() -> None:
    batch, tasks = make_batch(make_layout(), 4), make_tasks()
    for value in (-1e4, 1e4):
        assert task_losses(torch.full((4, 3), value), batch, tasks, label_weight(batch).wait()).isfinite().all()


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=20))
def test_predictions_invert_what_the_losses_aim_at(seconds: list[float]) -> None:
    wanted = torch.tensor(seconds, dtype=torch.float32)
    raw = torch.stack([torch.logit(wanted / 1e5), -wanted, torch.log1p(wanted)], dim=1)
    got = predict(raw, make_tasks())
    assert mean_absolute_error(wanted / 1e5, got[:, 0]) < 1e-5
    torch.testing.assert_close(got[:, 2], wanted, rtol=1e-4, atol=1e-4)
    assert ((got[:, :2] >= 0) & (got[:, :2] <= 1)).all()
    assert (predict(torch.full((1, 3), -3.0), make_tasks())[:, 2] == 0).all()  # never a negative time
