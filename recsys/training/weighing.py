"""The balancer that section `mto` asks for."""

from __future__ import annotations

import torch.distributed as dist

import emtl
from recsys.config import Config
from recsys.errors import InputError


def check_strategy(config: Config) -> None:
    """Refuse an unknown strategy or option, and a strategy where nothing is shared."""
    try:
        weighing(config, None)
    except ValueError as error:
        raise InputError(f"mto: {error}") from None
    if config.model.architecture == "single" and config.mto.strategy != "equal":
        raise InputError("mto.strategy: model.architecture single shares nothing that could be weighed; set mto.strategy=equal")
    if len(config.tasks) == 1 and config.mto.strategy != "equal":
        raise InputError("mto.strategy: there is only one task to weigh; set mto.strategy=equal")


def weighing(config: Config, process_group: dist.ProcessGroup | None) -> emtl.Balancer:
    """The balancer of section `mto`; ValueError in one line for what can't be."""
    mto = config.mto
    groups = None if mto.groups is None else _positions(mto.groups, [task.name for task in config.tasks])
    return emtl.Balancer(
        emtl.create(mto.strategy, len(config.tasks if groups is None else groups), **mto.options),
        scope=mto.scope,
        process_group=process_group,
        every=mto.every,
        lagged=mto.lagged,
        groups=groups,
        preferences=mto.preferences,
        min_weight=mto.min_weight,
        max_weight=mto.max_weight,
    )


def _positions(groups: list[list[str]], tasks: list[str]) -> list[list[int]]:
    """Groups of task names as groups of positions."""
    named = [name for group in groups for name in group]
    if sorted(named) != sorted(tasks):
        raise ValueError(f"groups must name each of {', '.join(tasks)} once, but got {groups}")
    return [[tasks.index(name) for name in group] for group in groups]
