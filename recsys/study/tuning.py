"""Fixed weights tuned on valid: the rival that papers leave out (Xin et al. 2022, arXiv:2209.11379)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROUND = 4  # trials that are proposed together, whatever number runs at a time: what is proposed doesn't depend on that
STARTUP = 6  # trials before the sampler learns from them

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Space:
    """What may be chosen: a weight a task between two numbers, relative to the first task's 1, and one of the values of each choice.

    given: keys with the values that every setting has.
    """

    tasks: Sequence[str]
    between: tuple[float, float]
    choices: Mapping[str, Sequence[Any]]
    given: Setting

    def setting(self, weights: Sequence[float], chosen: Mapping[str, int]) -> dict[str, Any]:
        """The setting of the tasks' weights and of the places of the chosen values."""
        return {**self.given, **{key: self.choices[key][place] for key, place in chosen.items()}, "mto.weights": list(weights)}


def tune(space: Space, trials: int, seed: int, values: Callable[[Sequence[Setting]], Sequence[float]]) -> None:
    """Propose `trials` settings to `values`, equal weights first, then as Optuna's tree-structured Parzen estimator does with `seed`.

    The proposals depend on the values alone, so a search that is run again over children that are done ends where it was.
    """
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({f"weight.{task}": 1.0 for task in space.tasks[1:]} | dict.fromkeys(space.choices, 0))
    for first in range(0, trials, ROUND):
        asked = [study.ask() for _ in range(min(ROUND, trials - first))]
        settings = [_propose(trial, space) for trial in asked]
        for trial, value in zip(asked, values(settings), strict=True):
            study.tell(trial, None if math.isnan(value) else value, optuna.trial.TrialState.FAIL if math.isnan(value) else None)


def _propose(trial: Any, space: Space) -> dict[str, Any]:
    weights = [1.0, *(float(f"{trial.suggest_float(f'weight.{task}', *space.between, log=True):.4g}") for task in space.tasks[1:])]
    chosen = {key: trial.suggest_categorical(key, range(len(values))) for key, values in space.choices.items()}
    return space.setting(weights, chosen)
