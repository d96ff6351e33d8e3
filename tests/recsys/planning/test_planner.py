"""Plans of any tables on any ranks: what must hold of all of them, and TorchRec's own estimates as the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import make_layout, make_model_config, make_tasks
from torch._subclasses.fake_tensor import FakeTensorMode
from torchrec.distributed.planner.enumerators import EmbeddingEnumerator
from torchrec.distributed.planner.types import PlannerError, ShardingOption

from recsys.config import ShardingConfig, SparseOptimizerConfig
from recsys.errors import InputError
from recsys.models.managed import divide_over
from recsys.models.model import build_model
from recsys.planning.devices import Devices
from recsys.planning.load import Load, load_of, table_rows
from recsys.planning.planner import Options, topology_of
from recsys.planning.sharding import make_constraints, make_sharders

GIGABYTE = 10**9
BATCH = 4096
KINDS = ["table_wise", "row_wise", "column_wise", "auto"]


def make_model(features: list[dict[str, Any]] | None, ranks: int) -> torch.nn.Module:
    with FakeTensorMode():
        model = build_model(make_layout(features), make_tasks(), make_model_config("mmoe"), table_device=torch.device("meta"))
    divide_over(model, ranks)
    return model


def make_options(features: list[dict[str, Any]] | None, sharding: ShardingConfig, devices: Devices) -> Options:
    sharders = make_sharders(SparseOptimizerConfig())
    return Options(make_model(features, devices.ranks), sharders, sharding, devices, BATCH // devices.ranks)


def load_on(plan: Sequence[ShardingOption], devices: Devices) -> Load:
    return load_of(plan, devices.ranks, BATCH // devices.ranks)


@st.composite
def made_features(draw: st.DrawFn, fewest: int = 1) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 5))):
        table = {"buckets": draw(st.integers(fewest, 10**10)), "dimension": 4 * draw(st.integers(1, 32))}
        kind = draw(st.sampled_from(["id", "ids", "sequence", "managed"]))
        name = f"f{number}"
        if kind == "sequence":
            items = [{"column": "c", "buckets": draw(st.integers(fewest, 10**8)), "dimension": 8}]
            features.append({"kind": "sequence", "name": name, "max_length": 9, "items": items})
        elif kind == "managed":
            table["buckets"] = draw(st.integers(10_000, 10**7))
            features.append({"kind": "id", "name": name, "encoding": "managed", "eviction": "lfu", **table})
        else:
            features.append({"kind": kind, "name": name, **table})
    return features


jobs = given(made_features(), st.sampled_from(KINDS), st.sampled_from([1, 2, 3, 8, 24, 64]))


def assert_covers(option: ShardingOption) -> None:
    """The shards are rectangles that don't overlap and make up the table."""
    rows, columns = option.tensor.shape
    corners = sorted((*shard.offset, *shard.size) for shard in option.shards if shard.size[0])
    assert sum(height * width for _, _, height, width in corners) == rows * columns
    assert len({(row, column) for row, column, _, _ in corners}) == len(corners)
    assert all(row + height <= rows and column + width <= columns for row, column, height, width in corners)
    whole = {(row, height) for row, _, height, _ in corners} == {(0, rows)} or {(column, width) for _, column, _, width in corners} == {
        (0, columns)
    }
    assert whole
    ends = [(row + height, column + width) for row, column, height, width in corners]
    for (row, column, _, _), (end, right) in zip(corners[1:], ends[:-1], strict=True):
        assert row == end or column == right


@settings(max_examples=25)
@jobs
def test_shards_make_up_their_tables_and_memory_adds_up(features: list[dict[str, Any]], kind: str, ranks: int) -> None:
    devices = Devices(ranks, 1, "cuda")
    plan = make_options(features, ShardingConfig(default=kind), devices).place()
    load = load_on(plan, devices)
    for option in plan:
        assert_covers(option)
        assert {shard.rank for shard in option.shards} <= set(range(ranks))
    rows = {row["table"]: row for row in table_rows(plan)}
    tables = make_layout(features).tables
    assert {name.replace(".", "/"): (spec.rows, spec.dimension) for name, spec in tables.items()} == {
        name: (row["rows"], row["dimension"]) for name, row in rows.items()
    }
    assert load.memory["tables"].sum() == sum(row["bytes"] for row in rows.values())
    pieces = {option.name: {tuple(shard.offset): shard.size[0] for shard in option.shards} for option in plan}
    assert load.memory["optimizer"].sum() == 4 * sum(sum(sizes.values()) for sizes in pieces.values())
    held = sum(shard.storage.hbm for option in plan for shard in option.shards if shard.size[0])
    assert sum(part.sum() for part in load.memory.values()) == held
    lengths = sum(slot.max_length or 1 for slot in make_layout(features).slots)
    assert load.lookups.sum() == pytest.approx(BATCH // ranks * ranks * lengths)


@settings(max_examples=25)
@given(made_features(), st.sampled_from(KINDS), st.sampled_from([1, 2, 8, 64]), st.floats(0.01, 200), st.floats(0, 20))
def test_a_plan_that_fits_never_exceeds(features: list[dict[str, Any]], kind: str, ranks: int, gigabytes: float, kept: float) -> None:
    devices = Devices(ranks, 1, "cuda", int(gigabytes * GIGABYTE))
    options = make_options(features, ShardingConfig(default=kind), devices)
    try:
        plan = options.place(int(kept * GIGABYTE))
    except PlannerError:
        anyway = load_on(options.place_anyway(), devices)
        assert sum(anyway.memory.values()).max() > 0
        return
    assert sum(load_on(plan, devices).memory.values()).max() + int(kept * GIGABYTE) <= devices.limit


@settings(max_examples=25)
@given(made_features(fewest=10_000), st.sampled_from([1, 2, 4, 16]))
def test_more_ranks_never_hold_more_each_when_divided_by_rows(features: list[dict[str, Any]], ranks: int) -> None:
    largest = []
    for number in (ranks, 2 * ranks):
        devices = Devices(number, 1, "cuda")
        load = load_on(make_options(features, ShardingConfig(default="row_wise"), devices).place(), devices)
        largest.append(sum(load.memory.values()).max())
    assert largest[1] <= largest[0]


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_estimates_are_torchrecs_own_made_once_a_size(kind: str) -> None:
    """TorchRec's enumerator with its own estimators, shard by shard, is the reference."""
    devices, sharding = Devices(6, 2, kind), ShardingConfig(default="row_wise", tables={"user": "column_wise", "video": "table_wise"})
    model = make_model(None, 6)
    topology, constraints = topology_of(devices), make_constraints(model, sharding, 6)
    reference = EmbeddingEnumerator(topology, 64, constraints).enumerate(model, make_sharders(SparseOptimizerConfig()))
    own = {option.fqn: option for option in Options(model, make_sharders(SparseOptimizerConfig()), sharding, devices, 64).place()}
    assert {option.fqn for option in reference} == set(own)
    for option in reference:
        for expected, got in zip(option.shards, own[option.fqn].shards, strict=True):
            assert (got.size, got.offset, got.perf) == (expected.size, expected.offset, expected.perf)
            with_state = (getattr(storage, "hbm" if kind == "cuda" else "ddr") for storage in (got.storage, expected.storage))
            assert next(with_state) == next(with_state) + 4 * got.size[0]


def test_auto_divides_by_rows_what_is_too_large_for_a_rank() -> None:
    features = [
        {"kind": "id", "name": "huge", "buckets": 10**9, "dimension": 64},
        {"kind": "id", "name": "large", "buckets": 10**8, "dimension": 64},
        {"kind": "id", "name": "small", "buckets": 1000, "dimension": 8},
    ]
    devices = Devices(8, 8, "cuda", 80 * GIGABYTE)
    with pytest.raises(PlannerError):
        make_options(features, ShardingConfig(), devices).place()
    ways = {row["table"]: row["sharding"] for row in table_rows(make_options(features, ShardingConfig(default="auto"), devices).place())}
    assert ways["huge"] == "row_wise"
    assert set(ways.values()) <= {"table_wise", "row_wise"}
    fixed = ShardingConfig(default="auto", tables={"small": "row_wise", "large": "column_wise"})
    ways = {row["table"]: row["sharding"] for row in table_rows(make_options(features, fixed, devices).place())}
    assert ways == {"huge": "row_wise", "large": "column_wise", "small": "row_wise"}


def test_tables_with_too_few_rows_for_all_ranks_stay_whole() -> None:
    """On 4 ranks, 5 rows would lie as 2, 2, 1 and none."""
    features = [{"kind": "id", "name": f"rows{rows}", "buckets": rows - 1, "dimension": 4} for rows in (2, 3, 4, 5, 6, 7, 8)]
    devices = Devices(4, 4, "cpu")
    for kind in ("row_wise", "auto"):
        plan = make_options(features, ShardingConfig(default=kind), devices).place()
        assert all(shard.size[0] for option in plan for shard in option.shards)
        if kind == "row_wise":
            ways = {row["rows"]: row["sharding"] for row in table_rows(plan)}
            assert {rows for rows, way in ways.items() if way == "row_wise"} == {4, 7, 8}
    with pytest.raises(InputError, match="the 5 rows of table 'rows5' are too few to be divided over 4 ranks; leave it table_wise"):
        make_options(features, ShardingConfig(tables={"rows5": "row_wise"}), devices)


def test_auto_is_at_least_as_fast_as_either_way_by_torchrecs_estimate() -> None:
    devices = Devices(8, 8, "cuda")

    def slowest(kind: str) -> float:
        plan = make_options(None, ShardingConfig(default=kind), devices).place()
        costs = [0.0] * 8
        for option in plan:
            for shard in option.shards:
                costs[shard.rank] += shard.perf.total
        return max(costs)

    assert slowest("auto") <= min(slowest("table_wise"), slowest("row_wise"))
