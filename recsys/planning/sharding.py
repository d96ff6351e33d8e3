"""What may be done with each table: the sharders that a job uses and the ways of sharding that its configuration permits."""

from __future__ import annotations

import difflib
from typing import Any

from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import nn
from torchrec.distributed import ModuleSharder
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner.types import ParameterConstraints

from recsys.config import ShardingConfig, SparseOptimizerConfig
from recsys.data.features.feature import TableSpec
from recsys.errors import InputError
from recsys.models.embeddings import Embeddings
from recsys.models.managed import ManagedSharder

# `auto` leaves the choice between these to the plan. Columns are never its choice: the row-wise optimizer would learn in another way.
AUTO = ["table_wise", "row_wise"]


class _BagSharder(EmbeddingBagCollectionSharder):
    """Row-wise on CPUs too, where TorchRec hides it although it is exact."""

    def sharding_types(self, compute_device_type: str) -> list[str]:
        return ["table_wise", "row_wise", "column_wise"]


class _ItemSharder(EmbeddingCollectionSharder):
    def sharding_types(self, compute_device_type: str) -> list[str]:
        return ["table_wise", "row_wise", "column_wise"]


def make_sharders(sparse: SparseOptimizerConfig) -> list[ModuleSharder]:
    """Sharders whose tables are updated by row-wise Adagrad; each with a dictionary of its own, because TorchRec changes them."""

    def fused() -> dict[str, Any]:
        return {"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "learning_rate": sparse.learning_rate, "eps": sparse.epsilon}

    return [_BagSharder(fused()), _ItemSharder(fused()), ManagedSharder(_BagSharder(fused()))]


def make_constraints(model: nn.Module, sharding: ShardingConfig, ranks: int) -> dict[str, ParameterConstraints]:
    """What the planner may do with each table: never data-parallel, which would take it out of the fused optimizer.

    A list counts with its `max_length`, the most ids that it can have. Tables with too few rows for all ranks stay whole where the default
    is to divide by rows. Raises InputError for a table that the model doesn't have, for a managed one that shall not be divided by rows,
    and for one that shall be but has too few.
    """
    modules = [module for module in model.modules() if isinstance(module, Embeddings)]
    tables = {name: spec for module in modules for name, spec in module.tables.items()}
    lengths = {name: found for module in modules for name, found in module.lengths.items()}
    _check_tables(tables, sharding, ranks)
    return {
        name: ParameterConstraints(
            sharding_types=_permitted(spec, sharding, ranks),
            compute_kernels=["fused"],
            min_partition=max(4, spec.dimension // ranks // 4 * 4),
            pooling_factors=[float(length) for length in lengths[name]],
        )
        for name, spec in tables.items()
    }


def _permitted(spec: TableSpec, sharding: ShardingConfig, ranks: int) -> list[str]:
    if _is_managed(spec):
        return ["row_wise"]
    kind = sharding.tables.get(spec.name, sharding.default)
    # FBGEMM refuses a rank without rows on CPUs, and a table of so few is not worth dividing anywhere.
    if kind != "column_wise" and not _has_rows_for_all(spec.rows, ranks):
        return ["table_wise"]
    return AUTO if kind == "auto" else [kind]


def _has_rows_for_all(rows: int, ranks: int) -> bool:
    """Whether every one of `ranks` equal blocks has a row; the last ones are shorter, or have none."""
    return -(-rows // ranks) * (ranks - 1) < rows


def _check_tables(tables: dict[str, TableSpec], sharding: ShardingConfig, ranks: int) -> None:
    known = sorted({spec.name for spec in tables.values()})
    for name in sharding.tables:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0) or ["none"]
            raise InputError(f"train.sharding.tables: there is no table {name!r}; the nearest is {near[0]!r}")
    for spec in tables.values():
        if _is_managed(spec) and sharding.tables.get(spec.name, "auto") not in ("row_wise", "auto"):
            raise InputError(f"train.sharding.tables: the table {spec.name!r} is managed and can only be divided row_wise")
        if (_is_managed(spec) or sharding.tables.get(spec.name) == "row_wise") and not _has_rows_for_all(spec.rows, ranks):
            raise InputError(
                f"train.sharding: the {spec.rows} rows of table {spec.name!r} are too few to be divided over {ranks} ranks; "
                + ("give it more buckets" if _is_managed(spec) else "leave it table_wise")
            )


def _is_managed(spec: TableSpec) -> bool:
    return getattr(spec.owner, "encoding", None) == "managed"
