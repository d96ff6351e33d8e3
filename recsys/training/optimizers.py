"""The optimizers of a sharded model and the course of their learning rates."""

from __future__ import annotations

import math

import torch
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.optim.keyed import CombinedOptimizer, KeyedOptimizer, KeyedOptimizerWrapper
from torchrec.optim.optimizers import in_backward_optimizer_filter

from recsys.config import DenseOptimizerConfig, LearningRate, TrainConfig
from recsys.distributed import set_table_learning_rate


class Optimizers:
    """AdamW for dense parameters beside the row-wise Adagrad that is fused into the tables' backward."""

    def __init__(self, model: DistributedModelParallel, config: TrainConfig, total_steps: int) -> None:
        self.model = model
        self.config = config
        self.total_steps = total_steps
        self.dense_parameters = dict(in_backward_optimizer_filter(model.named_parameters()))
        self.dense = _adam(self.dense_parameters, config.dense)
        self.combined = CombinedOptimizer([("fused", model.fused_optimizer), ("dense", self.dense)])

    def set_learning_rates(self, step: int) -> None:
        """Set both learning rates to what they are in step `step` (0-based)."""
        set_table_learning_rate(self.model, learning_rate(self.config.sparse, step, self.total_steps))
        for group in self.dense.param_groups:
            group["lr"] = learning_rate(self.config.dense, step, self.total_steps)

    def step(self) -> None:
        """Update the dense parameters from their reduced gradients and clear these."""
        if self.config.dense.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.dense_parameters.values(), self.config.dense.clip_norm, error_if_nonfinite=False)
        self.dense.step()
        self.dense.zero_grad(set_to_none=True)

    def create_state(self) -> None:
        """Give Adam its moments, so that a checkpoint has tensors to load into."""
        for parameter in self.dense_parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        self.dense.step()
        self.dense.zero_grad(set_to_none=True)


def learning_rate(config: LearningRate, step: int, total_steps: int) -> float:
    """The learning rate in step `step` of `total_steps`: a linear warm-up, then the configured course."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
    if config.schedule == "linear":
        return config.learning_rate * (1.0 - progress)
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.learning_rate


def _adam(parameters: dict[str, torch.nn.Parameter], config: DenseOptimizerConfig) -> KeyedOptimizer:
    return KeyedOptimizerWrapper(
        parameters, lambda values: torch.optim.AdamW(values, lr=config.learning_rate, weight_decay=config.weight_decay, foreach=True)
    )
