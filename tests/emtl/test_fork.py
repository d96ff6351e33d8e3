"""The one-backward fork against a loop of K backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import SCALES, TASKS, Mixture, known, made, rows_and_labels, task_losses
from strategy_cases import CASES, label
from torch import Tensor

import emtl
from emtl.gram import gram_matrix, normalise


def balancer_of(case: tuple[str, dict[str, Any]] = ("emtl", {}), **options: Any) -> emtl.Balancer:
    return emtl.Balancer(emtl.create(case[0], TASKS, **case[1]), **options)


def forked_tensors(model: Mixture, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs of a model without balancer, and the two tensors at its fork."""
    kept: list[Tensor] = []

    def keep(*shared: Tensor) -> list[tuple[Tensor, ...]]:
        # Clones: the experts' input is also above the experts, and only what the gates do with it is below the fork.
        kept.extend(tensor.clone() for tensor in shared)
        return [tuple(kept)] * TASKS

    model.fork = keep  # type: ignore[assignment]
    return model(rows), kept


def loop_of_backwards(case: tuple[str, dict[str, Any]], strategy: emtl.Strategy, model: Mixture, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The weights, with the gradients put into the model: sum_k w_k g_k for the shared part, raw for each task's own."""
    outputs, forked = forked_tensors(model, batch[0])
    losses = task_losses(outputs, batch[1])
    found = [torch.autograd.grad(loss, forked, retain_graph=True, allow_unused=True) for loss in losses]
    flat = torch.stack([torch.cat([part.flatten() for part in parts if part is not None]) for parts in found])
    weights = strategy.weights(losses.detach(), flat @ flat.T)
    shared = torch.autograd.grad((weights * losses).sum(), model.shared(), retain_graph=True)
    own = torch.autograd.grad(losses.sum(), model.own())
    for parameter, gradient in zip([*model.shared(), *model.own()], [*shared, *own], strict=True):
        parameter.grad = gradient
    return weights


@pytest.mark.parametrize("case", CASES, ids=label)
def test_as_a_loop_of_backwards(case: tuple[str, dict[str, Any]]) -> None:
    """Several steps, so that the averages count; shared parameters combined, each task's own parameters raw."""
    balancer, plain_strategy = balancer_of(case), emtl.create(case[0], TASKS, **case[1])
    model, plain = made(balancer.fork), made(None)
    for step in range(3):
        batch = rows_and_labels(7, seed=step)
        losses = task_losses(model(batch[0]), batch[1])
        total = balancer.total(losses)
        assert total.item() == pytest.approx(losses.sum().item())
        model.zero_grad()
        total.backward()
        weights = loop_of_backwards(case, plain_strategy, plain, batch)
        assert balancer.weights is not None and balancer.losses is not None
        torch.testing.assert_close(balancer.weights, weights, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(balancer.losses, losses.detach(), rtol=1e-14, atol=0)
        for actual, expected in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-12, atol=1e-12)


def test_the_reported_weights_are_the_ones_used() -> None:
    balancer = balancer_of()
    shared = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    factors = torch.tensor([1.0, 20.0, 0.5], dtype=torch.float64)
    losses = torch.stack([(view * factor).sum() for view, factor in zip(balancer.fork(shared), factors, strict=True)])
    balancer.total(losses).backward()
    assert balancer.weights is not None and shared.grad is not None
    torch.testing.assert_close(shared.grad, (balancer.weights @ factors).expand(4, 2))


def test_the_shared_part_is_walked_once() -> None:
    calls: list[int] = []
    balancer = balancer_of()
    inputs = torch.randn(4, 3, requires_grad=True)
    shared = inputs * 2
    assert shared.grad_fn is not None
    shared.grad_fn.register_hook(lambda *_: calls.append(1))
    balancer.total(torch.stack([view.square().mean() for view in balancer.fork(shared)])).backward()
    assert calls == [1]


def test_views_are_the_values_themselves_and_refuse_changes_in_place() -> None:
    balancer = balancer_of()
    first, second = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, 2, requires_grad=True)
    views = balancer.fork(first, second)
    assert len(views) == TASKS
    assert all(torch.equal(view[0], first) and view[0].data_ptr() == first.data_ptr() and torch.equal(view[1], second) for view in views)
    with pytest.raises(RuntimeError, match="view"):
        views[0][0].add_(1)


def test_without_gradients_the_fork_is_nothing() -> None:
    balancer = balancer_of()
    shared = torch.randn(4, 3, requires_grad=True)
    with torch.no_grad():
        views = balancer.fork(shared)
        assert all(view is shared for view in views)
        assert balancer.total(torch.tensor([1.0, 2.0, 3.0])).item() == 6
    assert all(view is shared.detach() or not view.requires_grad for view in balancer.fork(shared.detach()))
    assert balancer.weights is None


def test_a_shared_tensor_that_learns_nothing_takes_no_part() -> None:
    """Raw inputs may be forked beside the representation: there is nothing above them, so they don't count in the norms."""
    weights = []
    for constants in (False, True):
        balancer = balancer_of()
        shared, inputs = torch.ones(4, 3, requires_grad=True), torch.arange(12.0).view(4, 3)
        views = balancer.fork(shared, inputs) if constants else [(view, inputs) for view in balancer.fork(shared)]
        losses = torch.stack([(view * (task + 1) * part).square().mean() for task, (view, part) in enumerate(views)])
        balancer.total(losses).backward()
        weights.append(balancer.weights)
    assert torch.equal(known(weights[0]), known(weights[1]))


def test_an_unused_view_and_an_absent_task() -> None:
    """Task 1 uses one of two shared tensors, task 2 has no valid label."""
    balancer = balancer_of(("normalized", {}))
    first = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    second = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    views = balancer.fork(first, second)
    losses = torch.stack([views[0][0].square().sum() + views[0][1].square().sum(), views[1][0].pow(4).sum(), views[2][0].sum() * 0])
    balancer.total(losses).backward()
    gradients = [torch.cat([2 * first.flatten(), 2 * second.flatten()]).detach(), 4 * first.detach().flatten() ** 3]
    inverse = torch.stack([1 / gradient.norm() for gradient in gradients])
    expected = 2 * inverse / inverse.sum()
    assert balancer.weights is not None and first.grad is not None and second.grad is not None
    torch.testing.assert_close(balancer.weights, torch.cat([expected, expected.new_zeros(1)]))
    torch.testing.assert_close(second.grad, expected[0] * 2 * second.detach())
    torch.testing.assert_close(first.grad, expected[0] * 2 * first.detach() + expected[1] * 4 * first.detach() ** 3)


def test_a_view_whose_task_does_not_use_it_gives_none() -> None:
    balancer = balancer_of(("equal", {}))
    first, second = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    losses = torch.stack([view[0].square().sum() for view in balancer.fork(first, second)])
    balancer.total(losses).backward()
    assert first.grad is not None and second.grad is None


def test_an_incoming_gradient_is_not_written_to() -> None:
    """Addition hands one gradient tensor to both of its inputs; what was made before the fork reads it after the fork did."""
    balancer = balancer_of(("normalized", {}))
    shared = torch.randn(4, dtype=torch.float64, requires_grad=True)
    aside = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    earlier = aside * 1
    views = balancer.fork(shared)
    losses = torch.stack([(views[0] + earlier).square().sum(), (views[1] * 3).square().sum(), (views[2] + views[2]).square().sum()])
    balancer.total(losses).backward()
    torch.testing.assert_close(aside.grad, 2 * shared.detach())


def test_backward_without_total_is_refused() -> None:
    views = balancer_of().fork(torch.randn(4, requires_grad=True))
    with pytest.raises(RuntimeError, match=r"call fork\(\) once a step.*then total\(losses\)"):
        torch.stack([view.sum() for view in views]).sum().backward()


def test_backward_past_the_total_is_refused() -> None:
    balancer = balancer_of()
    losses = torch.stack([view.sum() for view in balancer.fork(torch.randn(4, requires_grad=True))])
    balancer.total(losses)
    with pytest.raises(RuntimeError, match=r"backward\(\) on what total\(\) returned"):
        losses.sum().backward()


def test_total_without_a_fork_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"total\(\) found no fork"):
        balancer_of().total(torch.ones(3, requires_grad=True))


def test_forks_at_two_depths_use_the_weights_of_the_deeper_one() -> None:
    """Each task takes from the first layer and from the second one; the shared network goes on from the tensor, not from a view."""
    factors = torch.tensor([1.0, 20.0, 0.5], dtype=torch.float64)

    def losses_from(first: list[Tensor], second: list[Tensor]) -> Tensor:
        return torch.stack([(a * b).sum().square() * factor for a, b, factor in zip(first, second, factors, strict=True)])

    generator = torch.Generator().manual_seed(0)
    rows, weight, turn = (torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    balancer = balancer_of(("normalized", {}))
    for _ in range(2):
        shared = weight.clone().requires_grad_()
        first = rows @ shared
        early = balancer.fork(first)
        losses = losses_from(list(early), list(balancer.fork((first @ turn).tanh())))
        balancer.total(losses).backward()

        plain = weight.clone().requires_grad_()
        first = rows @ plain
        second = (first @ turn).tanh()
        losses = losses_from([first] * TASKS, [second] * TASKS)
        found = torch.stack([torch.autograd.grad(loss, second, retain_graph=True)[0].flatten() for loss in losses])
        weights = emtl.create("normalized", TASKS).weights(losses.detach(), found @ found.T)
        torch.testing.assert_close(known(balancer.weights), weights, rtol=1e-12, atol=0)
        (expected,) = torch.autograd.grad((weights * losses).sum(), plain)
        torch.testing.assert_close(shared.grad, expected, rtol=1e-12, atol=1e-12)


def test_a_forward_that_was_given_up_does_no_harm() -> None:
    balancer = balancer_of()
    balancer.fork(torch.randn(4, requires_grad=True))
    shared = torch.randn(4, requires_grad=True)
    balancer.total(torch.stack([view.square().sum() for view in balancer.fork(shared)])).backward()
    assert shared.grad is not None


def test_wrong_number_of_losses() -> None:
    balancer = balancer_of()
    balancer.fork(torch.randn(4, requires_grad=True))
    with pytest.raises(ValueError, match=r"losses must have shape \(3,\), but got \(2,\)"):
        balancer.total(torch.ones(2, requires_grad=True))


def test_a_negative_loss_is_refused_in_the_step() -> None:
    balancer = balancer_of()
    losses = torch.stack([view.square().sum() - 1e6 * task for task, view in enumerate(balancer.fork(torch.ones(4, requires_grad=True)))])
    with pytest.raises(ValueError, match="the loss of task 1 is"):
        balancer.total(losses).backward()


@pytest.mark.parametrize("factor", [2.0**16, 1 / 4])
def test_a_factor_on_the_total_scales_the_update_alone(factor: float) -> None:
    """A GradScaler's scale changes from step to step; the averages of the norms must not see it."""
    updates, weights = [], []
    for factors in ((1.0, 1.0), (1.0, factor)):
        balancer = balancer_of()
        model = made(balancer.fork)
        for step, scale in enumerate(factors):
            model.zero_grad()
            rows, labels = rows_and_labels(6, seed=step)
            (balancer.total(task_losses(model(rows), labels)) * scale).backward()
        assert model.bottom.weight.grad is not None
        updates.append(model.bottom.weight.grad / factors[-1])
        weights.append(balancer.weights)
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(updates[1], updates[0], rtol=1e-12, atol=1e-15)


def test_accumulated_batches_each_have_their_weights() -> None:
    """Two forwards, then two backwards: each backward belongs to its own losses, and gradients add up."""
    separate, together = [], balancer_of(("normalized", {}))
    model = made(together.fork)
    batches = [rows_and_labels(5, seed=seed) for seed in (1, 2)]
    for rows, labels in batches:
        model.zero_grad()
        (together.total(task_losses(model(rows), labels)) / 2).backward()
        separate.append((together.weights, [parameter.grad for parameter in model.parameters()]))
    model.zero_grad()
    totals = [together.total(task_losses(model(rows), labels)) for rows, labels in batches]
    for total, (weights, _) in zip(totals, separate, strict=True):
        (total / 2).backward()
        assert torch.equal(known(together.weights), known(weights))
    for parameter, first, second in zip(model.parameters(), separate[0][1], separate[1][1], strict=True):
        torch.testing.assert_close(parameter.grad, known(first) + known(second), rtol=1e-12, atol=1e-15)


def test_gradients_in_bfloat16_are_summed_in_float32() -> None:
    """The Gram matrix and the weighted sum of bfloat16 gradients, to float32 precision and to one final rounding."""
    balancer = balancer_of(("normalized", {}))
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(4000, generator=generator).bfloat16().requires_grad_()
    factors = torch.randn(TASKS, 4000, generator=generator).bfloat16()
    balancer.total(
        torch.stack([(view * factor).float().sum() for view, factor in zip(balancer.fork(shared), factors, strict=True)])
    ).backward()
    wide = factors.double()
    assert balancer.gram is not None and balancer.weights is not None and shared.grad is not None
    torch.testing.assert_close(balancer.gram, wide @ wide.T, rtol=1e-5, atol=1e-3)
    assert shared.grad.dtype == torch.bfloat16
    expected = (balancer.weights @ wide).bfloat16()
    # Where the sum lies halfway between two bfloat16 numbers, float32 may round to the other; sums in bfloat16 would do so all over.
    torch.testing.assert_close(shared.grad, expected, rtol=2**-7, atol=0)
    assert (shared.grad != expected).float().mean() < 0.005


def test_under_autocast_even_the_backward() -> None:
    weights = []
    for enabled in (False, True):
        balancer = balancer_of()
        model = made(balancer.fork, dtype=torch.float32)
        rows, labels = rows_and_labels(64, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            balancer.total(task_losses(model(rows).float(), labels)).backward()
        assert balancer.gram is not None and balancer.gram.dtype == torch.float64
        weights.append(balancer.weights)
    torch.testing.assert_close(weights[1], weights[0], rtol=0.05, atol=0.01)


def test_a_strategy_of_losses_measures_nothing_unless_observed() -> None:
    plain, observed = balancer_of(("equal", {})), balancer_of(("equal", {}), observe=True)
    gradients = []
    for balancer in (plain, observed):
        model = made(balancer.fork)
        rows, labels = rows_and_labels(6)
        balancer.total(task_losses(model(rows), labels)).backward()
        gradients.append(model.bottom.weight.grad)
    assert plain.gram is None
    assert observed.gram is not None and (observed.gram.diagonal() > 0).all()
    assert torch.equal(known(gradients[0]), known(gradients[1]))


def test_equal_weights_are_an_ordinary_step() -> None:
    balancer = balancer_of(("equal", {}))
    model, plain = made(balancer.fork), made(None)
    rows, labels = rows_and_labels(6)
    balancer.total(task_losses(model(rows), labels)).backward()
    task_losses(plain(rows), labels).sum().backward()
    for actual, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-12, atol=1e-15)


def test_state_of_a_balancer_resumes_a_run() -> None:
    def run(steps: range, balancer: emtl.Balancer) -> Tensor | None:
        model = made(balancer.fork)
        for step in steps:
            rows, labels = rows_and_labels(6, seed=step)
            balancer.total(task_losses(model(rows), labels)).backward()
        return balancer.weights

    whole, first, resumed = balancer_of(), balancer_of(), balancer_of()
    run(range(2), first)
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(known(run(range(4), whole)), known(run(range(2, 4), resumed)))
    with pytest.raises(RuntimeError, match=r"losses\.total"):
        balancer_of(("equal", {})).load_state_dict(first.state_dict())


def test_under_compile() -> None:
    weights = []
    for compiled in (False, True):
        balancer = balancer_of()
        model = made(balancer.fork)
        step: Any = torch.compile(model, backend="eager") if compiled else model
        rows, labels = rows_and_labels(6)
        balancer.total(task_losses(step(rows), labels)).backward()
        weights.append(balancer.weights)
    torch.testing.assert_close(weights[1], weights[0])


def test_unknown_scope() -> None:
    with pytest.raises(
        ValueError, match="scope must be one of representation, parameters, but got 'parameter'; the nearest is 'parameters'"
    ):
        balancer_of(scope="parameter")


@pytest.mark.parametrize("number", [1, 131072, 300000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gram_matrix_over_blocks_strides_and_missing_parts(number: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(3, 2, number, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    parts: list[list[Tensor | None]] = [[first[task].T, second[task]] for task in range(3)]
    parts[1][0] = None
    parts[2][1] = torch.ones((), dtype=dtype).expand(2, number)
    flat = torch.stack([torch.cat([torch.zeros(2 * number) if part is None else part.double().flatten() for part in row]) for row in parts])
    found = gram_matrix(parts, torch.device("cpu"))
    scale = flat.norm(dim=1)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(found / scale / scale[:, None], (flat @ flat.T) / scale / scale[:, None], rtol=0, atol=tolerance)
    assert torch.equal(found, found.T)


def test_an_empty_batch_has_an_empty_gram_matrix() -> None:
    assert gram_matrix([[torch.zeros(0, 3)], [torch.zeros(0, 3)]], torch.device("cpu")).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_cosines_and_norms() -> None:
    cosines, norms = normalise(torch.tensor([[4.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64))
    assert norms.tolist() == [2.0, 3.0, 0.0]
    assert cosines.tolist() == [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]


def test_equity_by_hand() -> None:
    """Norms 2, 3 and an absent task: contributions 1/2 and 2, shares 2/8 and 6/8."""
    gram = torch.tensor([[4.0, -3.0, 0.0], [-3.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    found = emtl.equity(torch.tensor([1.0, 6.0, 5.0]), gram, torch.tensor([1.0, 2.0, 0.0]))
    assert found.contributions.tolist() == [0.5, 2.0, 0.0]
    assert found.shares.tolist() == [0.25, 0.75, 0.0]
    assert found.norms.tolist() == [2.0, 3.0, 0.0]
    assert found.cosines[0, 1] == -0.5
    assert found.conflict == 1
    assert found.variance.item() == pytest.approx(0.75**2 / 1.25**2)


def test_conflict_rate_is_over_pairs_of_tasks_that_are_present() -> None:
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [1.0, 0.2], [0.0, 0.0]])
    assert emtl.equity(torch.ones(4), gradients @ gradients.T, torch.ones(4)).conflict.item() == pytest.approx(2 / 3)
    assert emtl.equity(torch.zeros(2), torch.zeros(2, 2), torch.zeros(2)).conflict == 0


def test_scales_of_the_cases_differ_enough_to_matter() -> None:
    assert max(SCALES) / min(SCALES) > 1e3
