"""A child of a study: one training job, named by what sets it apart from its siblings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from recsys.config import Config, MmoeConfig, Model, MtoConfig, PleConfig, SharedBottomConfig, SingleConfig

SINGLE, TUNED = "single", "tuned"
FINAL, SEARCH, ROUND = "final", "search", "round-"
ARCHITECTURES: dict[str, type[MmoeConfig | PleConfig | SharedBottomConfig | SingleConfig]] = {
    get_args(section.model_fields["architecture"].annotation)[0]: section
    for section in (MmoeConfig, PleConfig, SharedBottomConfig, SingleConfig)
}


@dataclass(frozen=True)
class Child:
    """One training job of a study.

    strategy: a name of emtl's registry; or `single`, a model a task with nothing shared; or `tuned`, fixed weights that were tuned on the
    valid split. setting: dotted keys beyond the configuration, such as `mto.rho`, with their values. architecture: `single` for the
    strategy of that name, which stands beside every other architecture. stage: `final` for what is reported on the test split, `search`
    for a trial that a setting is chosen by, `round-0`, ... for a round of successive halving; only `final` children see the test split.
    sample: file with the rows that it trains on, where those are a sample.
    """

    strategy: str
    architecture: str
    seed: int
    setting: Mapping[str, Any] = field(default_factory=dict)
    stage: str = FINAL
    sample: str = ""

    @property
    def name(self) -> str:
        """Unique in a study, stable, and fit for a file: `emtl-mmoe-0`, `emtl.5f1c22e4-mmoe-0` with a setting, `...-search` in a stage."""
        apart = {**self.setting, **self._sampled}
        setting = f".{digest(apart)}" if apart else ""
        stage = "" if self.stage == FINAL else f"-{self.stage}"
        return f"{self.strategy}{setting}-{self.architecture}-{self.seed}{stage}"

    def overrides(self, config: Config) -> list[str]:
        """`KEY=VALUE` for each `--set` of `recsys train CONFIG`."""
        values: dict[str, Any] = {"run.name": self.name, "run.seed": self.seed}
        if self.architecture != config.model.architecture:
            values["model"] = model_section(config.model, self.architecture)
        values["mto"] = self._mto(config.mto)
        if self.stage == FINAL:
            values["evaluate.keep_scores"] = True
        else:
            values["data.test"] = []
        values |= {key: value for key, value in self.setting.items() if not key.startswith("mto.")} | self._sampled
        return [f"{key}={json.dumps(value)}" for key, value in values.items()]

    def to_json(self) -> dict[str, Any]:
        """All fields, for `Child(**fields)`."""
        return {**vars(self), "setting": dict(self.setting)}

    @property
    def _sampled(self) -> dict[str, Any]:
        return {"data.train": [self.sample]} if self.sample else {}

    def _mto(self, configured: MtoConfig) -> dict[str, Any]:
        """The strategy with its options: those of the configuration where it is the configured strategy, and the setting's."""
        if self.strategy == SINGLE:
            return {"strategy": "equal"}
        strategy = "fixed" if self.strategy == TUNED else self.strategy
        common = configured.model_dump(mode="json", exclude_defaults=True, include=set(MtoConfig.model_fields))
        options = configured.options if configured.strategy == strategy else {}
        own = {key.removeprefix("mto."): value for key, value in self.setting.items() if key.startswith("mto.")}
        return {**common, **options, **own, "strategy": strategy}


def digest(setting: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that depend on the keys and values, not on their order."""
    text = json.dumps(dict(setting), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def model_section(model: Model, architecture: str) -> dict[str, Any]:
    """Section `model` of another architecture with the same layers: an expert, or the bottom, has those of the configured one.

    How many experts there are, and on how many levels, are the architecture's defaults. `single` is a bottom and a tower a task.
    """
    given = model.model_dump(mode="json")
    layers = given.get("expert_layers") or given["bottom_layers"]
    key = "expert_layers" if "expert_layers" in ARCHITECTURES[architecture].model_fields else "bottom_layers"
    return {"architecture": architecture, key: layers, "tower_layers": given["tower_layers"], "dropout": given["dropout"]}
