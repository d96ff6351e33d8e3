"""Expert architectures against plain loops, and where they fork."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from model_cases import MODELS, make_batch, make_layout, make_model_config, make_tasks
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.layers import MLP, Experts, mix
from recsys.models.mmoe import Mmoe
from recsys.models.model import build_model
from recsys.models.ple import Ple
from recsys.models.tasks import task_losses

SHARED = ["mmoe", "ple", "shared_bottom"]


class _Weigh(torch.autograd.Function):
    """K identical views of each tensor; backwards their gradients weighed by w and summed."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *shared: Tensor) -> tuple[Tensor, ...]:
        ctx.weights = weights
        return tuple(tensor.view_as(tensor) for _ in weights for tensor in shared)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, width = ctx.weights, len(gradients) // len(ctx.weights)
        return None, *(sum(w * gradients[k * width + i] for k, w in enumerate(weights)) for i in range(width))


def weighing_fork(weights: Tensor) -> Any:
    def fork(*shared: Tensor) -> Sequence[Any]:
        flat = _Weigh.apply(weights, *shared)
        views = [flat[k * len(shared) : (k + 1) * len(shared)] for k in range(len(weights))]
        return views if len(shared) > 1 else [view[0] for view in views]

    return fork


def assert_equal(got: Tensor, reference: Tensor) -> None:
    torch.testing.assert_close(got, reference, rtol=0, atol=0)


def experts_by_loop(experts: Experts, x: Tensor) -> Tensor:
    """(B, E, H), each expert on its own, from the weights of `experts`."""
    outputs = []
    for e in range(experts.experts):
        width = experts.first.out_features // experts.experts
        own = slice(e * width, (e + 1) * width)
        hidden = functional.relu(x @ experts.first.weight[own].T + experts.first.bias[own])
        for weight, bias in zip(experts.weights, experts.biases, strict=True):
            hidden = functional.relu(hidden @ weight[e] + bias[e])
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


def mix_by_loop(gate: nn.Linear, x: Tensor, experts: Tensor) -> Tensor:
    rows = []
    for row, outputs in zip(x, experts, strict=True):
        shares = torch.softmax(gate.weight @ row + gate.bias, dim=0)
        rows.append(sum(share * output for share, output in zip(shares, outputs, strict=True)))
    return torch.stack(rows)


@pytest.mark.parametrize("layers", [[5], [7, 3], [6, 5, 4]])
def test_experts_are_separate_networks(layers: list[int]) -> None:
    experts, x = Experts(4, 3, layers).double(), torch.randn(6, 4).double()
    torch.testing.assert_close(experts(x), experts_by_loop(experts, x), rtol=0, atol=1e-12)


def test_experts_start_like_linear_layers() -> None:
    experts = Experts(50, 40, [60, 70])
    for values, inputs in [(experts.first.weight, 50), (experts.weights[0], 60), (experts.biases[0], 60)]:
        bound = inputs**-0.5
        assert values.abs().max() <= bound
        torch.testing.assert_close(values.std().item(), bound / 3**0.5, rtol=0.05, atol=0)


def test_dropout_acts_in_training_alone() -> None:
    for module in (Experts(4, 2, [32, 32], dropout=0.5), MLP(4, [32, 32], dropout=0.5)):
        x = torch.randn(8, 4)
        assert not torch.equal(module(x), module(x))
        module.eval()
        torch.testing.assert_close(module(x), module(x), rtol=0, atol=0)


def test_mmoe_is_the_gated_sum_of_its_experts() -> None:
    own = Mmoe(9, 2, make_model_config("mmoe"), weighing_fork(torch.ones(2))).double()
    x = torch.randn(5, 9).double()
    experts = experts_by_loop(own.experts, x)
    for k, got in enumerate(own(x)):
        torch.testing.assert_close(got, mix_by_loop(own.gates[k], x, experts), rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ple_is_the_papers_extraction_network(levels: int) -> None:
    """Eq. 1-4 of the paper, written out with loops."""
    own = Ple(9, 3, make_model_config("ple", levels=levels), weighing_fork(torch.ones(3))).double()
    x = torch.randn(5, 9).double()
    shared, streams = x, [x, x, x]
    for level in [*own.lower, own.last]:
        common = experts_by_loop(level.shared, shared)
        parts = [experts_by_loop(experts, stream) for experts, stream in zip(level.tasks, streams, strict=True)]
        following = [mix_by_loop(level.gates[k], streams[k], torch.cat([common, parts[k]], dim=1)) for k in range(3)]
        if level is not own.last:
            shared = mix_by_loop(level.shared_gate, shared, torch.cat([common, *parts], dim=1))
        streams = following
    got = own(x)
    assert len(got) == 3
    for mine, reference in zip(got, streams, strict=True):
        assert mine.shape == (5, own.outputs)
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-12)


def test_mix_weighs_by_the_gate() -> None:
    gate, x, experts = nn.Linear(4, 3), torch.randn(6, 4), torch.randn(6, 3, 5)
    torch.testing.assert_close(mix(gate, x, experts), mix_by_loop(gate, x, experts))


@pytest.mark.parametrize(
    "changes", [("mmoe", {}), ("shared_bottom", {}), ("ple", {"levels": 1}), ("ple", {"levels": 2}), ("ple", {"levels": 3})]
)
def test_below_the_fork_the_gradient_is_the_weighted_sum_and_above_it_is_raw(changes: tuple[str, dict[str, Any]]) -> None:
    """The fork's one backward equals autograd of sum w_k L_k below it, and of sum L_k in the tasks' own parts."""
    own, tasks, weights = make_layout(), make_tasks(), torch.tensor([0.3, 2.0, 0.7])
    calls = []

    def fork(*shared: Tensor) -> Sequence[Any]:
        calls.append(len(shared))
        return weighing_fork(weights)(*shared)

    model = build_model(own, tasks, make_model_config(changes[0], **changes[1]), fork)
    batch = make_batch(own, 12)
    losses = task_losses(model(batch), batch, tasks, batch.weights @ batch.masks.float())
    losses.sum().backward()
    assert len(calls) == 1

    def gradients(combine: Tensor) -> dict[str, Tensor]:
        plain = build_model(own, tasks, make_model_config(changes[0], **changes[1]))
        plain.load_state_dict(model.state_dict())
        losses = task_losses(plain(batch), batch, tasks, batch.weights @ batch.masks.float())
        (losses @ combine).backward()
        return {name: parameter.grad for name, parameter in plain.named_parameters()}

    raw, weighed = gradients(torch.ones(3)), gradients(weights)
    above = ("towers", "architecture.gates", "architecture.last.tasks", "architecture.last.gates")
    kinds = set()
    for name, parameter in model.named_parameters():
        kinds.add(name.startswith(above))
        reference = raw if name.startswith(above) else weighed
        torch.testing.assert_close(parameter.grad, reference[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert kinds == {True, False}


@pytest.mark.parametrize("architecture", list(MODELS))
def test_every_parameter_is_in_the_graph_although_a_task_has_no_label(architecture: str) -> None:
    own, tasks = make_layout(), make_tasks()
    model, batch = build_model(own, tasks, make_model_config(architecture)), make_batch(own, 9)
    batch.masks[:, 1] = False
    outputs = model(batch)
    assert outputs.shape == (9, 3)
    task_losses(outputs, batch, tasks, batch.weights @ batch.masks.float()).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(
        (parameter.grad == 0).all() for parameter in (model.models.cvr if architecture == "single" else model.towers[1]).parameters()
    )


@pytest.mark.parametrize("architecture", SHARED)
def test_shared_parameters_are_the_dense_ones_below_the_fork(architecture: str) -> None:
    """A fork that lets nothing through leaves them without a gradient, and all others with the one they had."""
    own, gradients = make_layout(), []
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        model = build_model(own, make_tasks(), make_model_config(architecture), weighing_fork(torch.full((3,), weight)))
        model(make_batch(own, 9)).sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters() if not name.startswith("embeddings.")})
    listed = {id(parameter) for parameter in model.shared_parameters()}
    shared = {name for name, parameter in model.named_parameters() if id(parameter) in listed}
    assert any(gradients[1][name].any() for name in shared)
    for name, gradient in gradients[0].items():
        assert_equal(gradient, torch.zeros_like(gradient) if name in shared else gradients[1][name])


@pytest.mark.parametrize("architecture", SHARED)
def test_all_that_tables_give_passes_the_shared_activations(architecture: str) -> None:
    """Cut there, nothing reaches the tables."""
    torch.manual_seed(0)
    own = make_layout()
    model = build_model(own, make_tasks(), make_model_config(architecture))
    outputs = model(make_batch(own, 9))
    tables = list(model.embeddings.parameters())
    assert all(gradient.any() for gradient in torch.autograd.grad(outputs.sum(), tables, retain_graph=True))
    for activation in model.shared_activations():
        activation.register_hook(torch.zeros_like)
    assert not any(gradient.any() for gradient in torch.autograd.grad(outputs.sum(), tables))


def test_single_shares_nothing() -> None:
    own, tasks = make_layout(), make_tasks()
    model, batch = build_model(own, tasks, make_model_config("single")), make_batch(own, 9)
    model(batch)[:, 0].sum().backward()
    reached = {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.grad.any()}
    assert reached == {"ctr"}
    names = [name for module in model.models.values() for name in module.embeddings.tables]
    assert len(names) == len(set(names)) == 3 * 6


def test_the_fork_is_no_part_of_the_model() -> None:
    """A module whose method is the fork is neither a submodule nor in the state."""

    class Forker(nn.Linear):
        def fork(self, *shared: Tensor) -> Sequence[Any]:
            return [shared if len(shared) > 1 else shared[0]] * 3

    for architecture in SHARED:
        model = build_model(make_layout(), make_tasks(), make_model_config(architecture), Forker(2, 2).fork)
        assert not any(isinstance(module, Forker) for module in model.modules())


@pytest.mark.parametrize("architecture", list(MODELS))
def test_bfloat16_stays_close(architecture: str) -> None:
    torch.manual_seed(0)
    own, tasks = make_layout(), make_tasks()
    model, batch = build_model(own, tasks, make_model_config(architecture)), make_batch(own, 16)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(batch)
    losses = task_losses(outputs, batch, tasks, batch.weights @ batch.masks.float())
    assert losses.dtype == torch.float32
    torch.testing.assert_close(outputs.float(), model(batch), rtol=0.05, atol=0.05)
    losses.sum().backward()
