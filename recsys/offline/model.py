"""A trained model put back for scoring, sharded over as many ranks as there are now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torchrec.distributed.model_parallel import DistributedModelParallel

from recsys.config import Config, DataConfig
from recsys.config_file import FILE_NAME, load_config
from recsys.data.guard import OnErrorConfig
from recsys.data.layout import Layout, layout
from recsys.data.reader import Reader
from recsys.data.statistics import FILE_NAME as STATISTICS
from recsys.data.statistics import Statistics
from recsys.distributed import World, wrap
from recsys.models.model import build_model
from recsys.training.checkpoint import Checkpoints
from recsys.training.output import CHECKPOINTS


@dataclass(frozen=True)
class Trained:
    """The best checkpoint of a run, ready to predict."""

    config: Config
    features: Layout
    statistics: Statistics
    model: DistributedModelParallel

    def reader(self, paths: list[str], world: World) -> Reader:
        """The rows of `paths` in their own order, without labels; batches are made as those of the run's own evaluations."""
        data, rows = self._enough_streams(world.size)
        return Reader(
            paths, data, self.features, [], self.statistics, batch_size=rows, shuffle=False, rank=world.rank, world_size=world.size
        )

    def _enough_streams(self, ranks: int) -> tuple[DataConfig, int]:
        """Every rank needs a stream; the batch stays a multiple of their number. No row is skipped: all are judged on the same rows."""
        streams = max(self.config.data.streams, ranks)
        rows = -(-self.config.evaluate.batch_size // streams) * streams
        return self.config.data.model_copy(update={"streams": streams, "weight": None, "on_error": OnErrorConfig()}), rows


def load_trained(folder: Path, world: World) -> Trained:
    """The model of a run's folder. Collective. Raises InputError when the folder holds no whole run."""
    config, statistics = load_config(folder / FILE_NAME), Statistics.load(folder / STATISTICS)
    features = layout(config.features)
    model = build_model(features, config.tasks, config.model, table_device=torch.device("meta"))
    rows = max(1, config.evaluate.batch_size // world.size)
    wrapped = wrap(model, world, config.train.sharding, config.train.sparse, config.run.seed, rows)
    state = {"model": wrapped.state_dict()}
    Checkpoints(folder / CHECKPOINTS, world.rank).load("best", state)
    wrapped.load_state_dict(state["model"])
    wrapped.eval()
    return Trained(config, features, statistics, wrapped)
