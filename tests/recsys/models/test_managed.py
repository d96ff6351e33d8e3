"""Managed tables against a slow dictionary: who has a row, who loses it, and that it starts anew."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torchrec import EmbeddingBagConfig, JaggedTensor, KeyedJaggedTensor, PoolingType

from recsys.config import Feature, ShardingConfig, SparseOptimizerConfig
from recsys.data.features.encoding import MANAGED_IDS
from recsys.data.features.id import IdFeature
from recsys.data.layout import layout
from recsys.distributed import process_group, wrap
from recsys.errors import InputError
from recsys.models.embeddings import Embeddings
from recsys.models.managed import POLICIES, RowsOfIds, contest, managed_bags

MISSING = torch.iinfo(torch.int64).max


class Reference:
    """Ids with (count, step last seen), one after the other; `rows` - 1 of them at most."""

    def __init__(self, policy: str, rows: int, every: int) -> None:
        self.policy, self.room, self.every = policy, rows - 1, every
        self.step, self.waiting, self.known = 0, [], {}

    def train(self, ids: list[int]) -> None:
        self.step += 1
        self.waiting += [(id, self.step) for id in ids]
        if self.step % self.every == 0:
            self.contest()

    def contest(self) -> None:
        counts, last = Counter(id for id, _ in self.waiting), dict(self.waiting)
        for id in counts.keys() & self.known.keys():
            self.known[id] = (self.known[id][0] + counts[id], last[id])
        # Among equals those that have a row keep it; then the more frequent, then the smaller, comes first.
        new = sorted(counts.keys() - self.known.keys(), key=lambda id: (-counts[id], id))
        contenders = [(id, self.known[id]) for id in sorted(self.known)] + [(id, (counts[id], last[id])) for id in new]
        contenders.sort(key=lambda item: -self.score(*item[1]))
        self.known, self.waiting = dict(contenders[: self.room]), []

    def score(self, count: int, last: int) -> float:
        away = self.step - last + 1
        return {"lfu": count, "lru": -away, "distance_lfu": float(np.float32(count) / np.float32(away))}[self.policy]


def step(rows: RowsOfIds, ids: list[int]) -> list[int]:
    values = JaggedTensor(values=torch.tensor(ids, dtype=torch.int64), lengths=torch.ones(len(ids), dtype=torch.int32))
    return rows({"id": values})["id"].values().tolist()


def known(rows: RowsOfIds) -> dict[int, int]:
    """id -> row."""
    pairs = zip(rows._mch_sorted_raw_ids.tolist(), rows._mch_remapped_ids_mapping.tolist(), strict=True)
    return {id: row for id, row in pairs if id != MISSING}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(POLICIES)),
    st.integers(2, 9),
    st.integers(1, 4),
    st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=12), min_size=1, max_size=25),
)
def test_rows_go_to_whom_the_policy_says(policy: str, size: int, every: int, batches: list[list[int]]) -> None:
    rows = RowsOfIds(zch_size=size, device=torch.device("cpu"), eviction_policy=POLICIES[policy](), eviction_interval=every)
    reference, before = Reference(policy, size, every), {}
    for batch in batches:
        given_rows = step(rows, batch)
        reference.train(batch)
        now = known(rows)
        assert now.keys() == reference.known.keys()
        assert len(set(now.values())) == len(now) and max(now.values(), default=0) < size - 1
        assert all(now[id] == before[id] for id in now.keys() & before.keys()), "an id that stays keeps its row"
        assert given_rows == [now.get(id, size - 1) for id in batch]
        changed = set(now.values()) - {row for id, row in before.items() if now.get(id) == row}
        assert changed <= set((rows.evict() if rows._evicted else torch.empty(0)).tolist())
        before = now


def test_what_is_not_trained_on_changes_nothing() -> None:
    rows = RowsOfIds(zch_size=5, device=torch.device("cpu"), eviction_policy=POLICIES["lfu"](), eviction_interval=1)
    step(rows, [1, 1, 2])
    before = known(rows)
    rows.eval()
    assert step(rows, [1, 7, 8, 8]) == [before[1], 4, 4, 4] and known(rows) == before


ONE = {"kind": "id", "name": "user", "buckets": 4, "dimension": 4, "encoding": "managed", "eviction": "lfu", "eviction_every": 2}


def ids_of(*values: int) -> KeyedJaggedTensor:
    return KeyedJaggedTensor.from_lengths_sync(["user"], torch.tensor(values), torch.ones(len(values), dtype=torch.int32))


def test_a_row_that_changes_hands_starts_anew_with_its_optimizer_state() -> None:
    features = layout(TypeAdapter(list[Feature]).validate_python([ONE]))
    with process_group() as world:
        model = torch.nn.Sequential(Embeddings(features, device=torch.device("meta")))
        model = wrap(model, world, ShardingConfig(), SparseOptimizerConfig(learning_rate=1.0), seed=0, batch_size=4)
        managed = model.module[0].managed
        rows = managed._managed_collision_collection._managed_collision_modules["user"]
        kernel = managed._table_to_tbe_and_index["user"][0]
        weights, state = kernel.split_embedding_weights()[0], kernel.split_optimizer_states()[0][0]

        def train(*values: int) -> None:
            found, _ = managed(ids_of(*values))
            found.to_dict()["user"].sum().backward()

        train(1, 2, 3, 1)
        assert known(rows) == {}, "ids wait for a contest"
        train(1, 2, 3, 1)
        train(1, 2, 3, 2)
        held = known(rows)
        assert sorted(held) == [1, 2, 3] and all(state[row] > 0 and weights[row].abs().max() > 0.1 for row in held.values())
        kept = {id: (weights[held[id]].clone(), state[held[id]].clone()) for id in (1, 2)}
        contest(model)  # as before a checkpoint
        for value in (8, 9, 10):
            assert value not in known(rows)
        managed.eval()
        managed(ids_of(8, 8, 8, 8))
        managed.train()
        assert known(rows) == held
        for _ in range(2):
            managed(ids_of(*[8] * 9, *[9] * 9))  # forward alone: nothing is learned
        now = known(rows)
        assert sorted(now) == [1, 2, 8, 9], "3 came the least often"
        for id in (8, 9):
            assert state[now[id]] == 0 and 0 < weights[now[id]].abs().max() < 0.1
        for id in kept.keys() & now.keys():
            assert torch.equal(weights[now[id]], kept[id][0]) and torch.equal(state[now[id]], kept[id][1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eviction": None}, "give `eviction`"),
        ({"encoding": "hash"}, "give `eviction`"),
        ({"kind": "ids"}, "uses the managed table 'user', which is for one feature of kind `id` alone"),
    ],
)
def test_what_cannot_be_managed_is_refused(change: dict[str, str | None], words: str) -> None:
    with pytest.raises((ValidationError, InputError), match=words):
        layout(TypeAdapter(list[Feature]).validate_python([ONE | change]))


def test_a_managed_table_is_not_shared_and_is_divided_by_rows() -> None:
    other = {"kind": "id", "name": "friend", "table": "user"}
    with pytest.raises(InputError, match="friend uses the managed table 'user'"):
        layout(TypeAdapter(list[Feature]).validate_python([ONE, other]))
    features = layout(TypeAdapter(list[Feature]).validate_python([ONE]))
    with process_group() as world, pytest.raises(InputError, match="the table 'user' is managed and can only be divided row_wise"):
        model = torch.nn.Sequential(Embeddings(features, device=torch.device("meta")))
        wrap(model, world, ShardingConfig(tables={"user": "table_wise"}), SparseOptimizerConfig(), seed=0, batch_size=4)


def test_tables_that_are_not_sharded_look_up_the_same_way() -> None:
    owner = IdFeature.model_validate(ONE | {"eviction_every": 1})
    bags = managed_bags(
        [EmbeddingBagConfig(name="user", num_embeddings=5, embedding_dim=4, feature_names=["user"], pooling=PoolingType.SUM)], [owner], None
    )
    found = bags(ids_of(3, 3, MANAGED_IDS))[0].to_dict()["user"]
    table = bags._embedding_module.embedding_bags["user"].weight
    rows = known(bags._managed_collision_collection._managed_collision_modules["user"])
    assert torch.equal(found, table[[rows[3], rows[3], rows[MANAGED_IDS]]])
