"""Gradients of the shared parameters themselves: the reference scope."""

from __future__ import annotations

import pytest
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
from fbgemm_gpu.split_table_batched_embeddings_ops_training import ComputeDevice, SplitTableBatchedEmbeddingBagsCodegen
from small_models import TASKS, Mixture, made, rows_and_labels, task_losses
from torch import Tensor

import emtl


def balancer_of(name: str = "normalized") -> emtl.Balancer:
    return emtl.Balancer(emtl.create(name, TASKS), scope="parameters")


def expected_step(model: Mixture, rows: Tensor, labels: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Weights from K backwards, and the gradients of the weighted shared and raw own parts."""
    losses = task_losses(model(rows), labels)
    found = [torch.autograd.grad(loss, inputs, retain_graph=True) for loss in losses]
    flat = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in found])
    weights = emtl.create("normalized", TASKS).weights(losses.detach(), flat @ flat.T)
    shared = torch.autograd.grad((weights * losses).sum(), model.shared(), retain_graph=True)
    return weights, [*shared, *torch.autograd.grad(losses.sum(), model.own())]


def test_as_a_loop_of_backwards() -> None:
    balancer = balancer_of()
    model, plain = made(balancer.fork), made(None)
    rows, labels = rows_and_labels(7)
    balancer.total(task_losses(model(rows), labels), parameters=model.shared()).backward()
    weights, gradients = expected_step(plain, rows, labels, plain.shared())
    assert balancer.weights is not None
    torch.testing.assert_close(balancer.weights, weights, rtol=1e-12, atol=1e-12)
    for parameter, gradient in zip([*model.shared(), *model.own()], gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


def test_activations_count_in_the_norms() -> None:
    balancer = balancer_of()
    model, plain = made(balancer.fork), made(None)
    rows, labels = rows_and_labels(7)
    pooled, plain_pooled = (rows.clone().requires_grad_() for _ in range(2))
    losses = task_losses(model(pooled * 1), labels)
    balancer.total(losses, parameters=model.shared(), activations=[pooled]).backward()
    weights, _ = expected_step(plain, plain_pooled, labels, [*plain.shared(), plain_pooled])
    assert balancer.weights is not None
    torch.testing.assert_close(balancer.weights, weights, rtol=1e-12, atol=1e-12)
    without, _ = expected_step(plain, plain_pooled, labels, plain.shared())
    assert not torch.allclose(weights, without, rtol=1e-3)


def test_a_parameter_no_task_reaches_counts_as_zero() -> None:
    weights = []
    for stray in ([], [torch.ones(3, dtype=torch.float64, requires_grad=True)]):
        balancer = balancer_of()
        model = made(balancer.fork)
        rows, labels = rows_and_labels(7)
        balancer.total(task_losses(model(rows), labels), parameters=[*model.shared(), *stray]).backward()
        weights.append(balancer.weights)
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-12, atol=1e-12)


def test_nothing_to_measure_is_refused() -> None:
    balancer = balancer_of()
    rows, labels = rows_and_labels(7)
    losses = task_losses(made(balancer.fork)(rows), labels)
    with pytest.raises(ValueError, match=r"needs total\(losses, parameters=..., activations=...\)"):
        balancer.total(losses)


def test_a_strategy_of_losses_needs_nothing_measured() -> None:
    balancer = balancer_of("equal")
    model = made(balancer.fork)
    rows, labels = rows_and_labels(7)
    balancer.total(task_losses(model(rows), labels)).backward()
    assert balancer.weights is not None and balancer.weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("scope", ["representation", "parameters"])
def test_a_fused_table_is_updated_once_with_the_combined_gradient(scope: str) -> None:
    """Row-wise Adagrad inside the table's backward, against a dense table with the same update written out."""
    rate, epsilon, rows, width = 0.1, 1e-8, 10, 4
    table = SplitTableBatchedEmbeddingBagsCodegen(
        [(rows, width, EmbeddingLocation.HOST, ComputeDevice.CPU)],
        optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        learning_rate=rate,
        eps=epsilon,
    )
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(rows, width, generator=generator)
    table.split_embedding_weights()[0].copy_(dense)
    squares = torch.zeros(rows)
    balancer = emtl.Balancer(emtl.create("normalized", 2), scope=scope)
    tower = torch.randn(2, width, generator=generator)
    bottom = torch.eye(width).requires_grad_()
    for _ in range(4):
        ids = torch.randint(0, rows, (12,), generator=generator)
        pooled = table(ids, torch.arange(0, 13, 2))
        losses = torch.stack(
            [((view @ direction) - 1).square().mean() for view, direction in zip(balancer.fork(pooled @ bottom), tower, strict=True)]
        )
        balancer.total(losses * torch.tensor([1.0, 50.0]), parameters=[bottom], activations=[pooled]).backward()
        assert balancer.weights is not None

        leaf = dense.clone().requires_grad_()
        bags = leaf[ids].view(6, 2, width).sum(1)
        plain = torch.stack([((bags @ direction) - 1).square().mean() for direction in tower]) * torch.tensor([1.0, 50.0])
        (gradient,) = torch.autograd.grad((balancer.weights.float() * plain).sum(), leaf)
        squares += gradient.square().mean(1)
        dense = dense - torch.where(squares > 0, rate / (squares.sqrt() + epsilon), 0.0)[:, None] * gradient
        torch.testing.assert_close(table.split_embedding_weights()[0], dense, rtol=1e-4, atol=1e-5)
