"""Tables against nn.Embedding and nn.EmbeddingBag."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from model_cases import FEATURES, make_batch, make_layout
from torch import Tensor, nn
from torchrec import JaggedTensor, KeyedJaggedTensor

from recsys.data.batch import Batch
from recsys.data.features.feature import Slot
from recsys.data.layout import Layout
from recsys.models.embeddings import Embeddings, table_key
from recsys.models.segments import row_of_each, segment_mean, segment_sum


def table(embeddings: Embeddings, slot: Slot) -> Tensor:
    found = [value for key, value in embeddings.state_dict().items() if key.endswith(f".{table_key(slot.table)}.weight")]
    assert len(found) == 1
    return found[0]


def part_of(batch: Batch, own: Layout, slot: Slot) -> KeyedJaggedTensor:
    return batch.sparse if slot in own.pooled else batch.weighted if slot in own.weighted else batch.sequence


def pooled(slot: Slot, weight: Tensor, jagged: JaggedTensor) -> Tensor:
    """What nn.EmbeddingBag gives; it has no weighted mean, so that this is its weighted sum over the weights' sum."""
    offsets = jagged.offsets().long()
    if not slot.weighted:
        return nn.EmbeddingBag.from_pretrained(weight, mode=slot.pooling or "sum", include_last_offset=True)(jagged.values(), offsets)
    bag = nn.EmbeddingBag.from_pretrained(weight, mode="sum", include_last_offset=True)
    sums = bag(jagged.values(), offsets, per_sample_weights=jagged.weights())
    totals = torch.stack([own.sum() for own in jagged.weights().split(jagged.lengths().tolist())])
    return sums if slot.pooling == "sum" else torch.where(totals[:, None] > 0, sums / totals[:, None], 0)


@pytest.mark.parametrize("seed", range(3))
def test_features_are_what_embedding_bags_give(seed: int) -> None:
    own = make_layout()
    assert [len(part) for part in (own.pooled, own.weighted, own.unpooled)] == [4, 3, 6]
    embeddings, batch = Embeddings(own), make_batch(own, 13, seed)
    got = embeddings(batch)
    for slot in own.slots:
        jagged = part_of(batch, own, slot)[slot.key]
        weight = table(embeddings, slot)
        assert weight.shape == (own.tables[slot.table].rows, own.tables[slot.table].dimension)
        if slot.sequence:
            torch.testing.assert_close(got.histories[slot.key].values(), weight[jagged.values()], rtol=0, atol=0)
            assert torch.equal(got.histories[slot.key].lengths(), jagged.lengths())
        else:
            torch.testing.assert_close(got.features[slot.key], pooled(slot, weight, jagged))
    assert set(got.features) | set(got.histories) == {slot.key for slot in own.slots}


@pytest.mark.parametrize("name", ["topics", "watched"])
def test_a_row_whose_weights_are_all_0_gives_zeros_and_finite_gradients(name: str) -> None:
    own = make_layout()
    embeddings, batch = Embeddings(own), make_batch(own, 5)
    for part in (batch.weighted, batch.sequence):
        part.weights().zero_()
    found = embeddings(batch).features[name]
    assert not found.any()
    found.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in embeddings.parameters() if parameter.grad is not None)


def test_the_order_of_keys_in_the_batch_does_not_matter() -> None:
    own = make_layout()
    embeddings, batch = Embeddings(own), make_batch(own, 6)

    def turned(jagged: KeyedJaggedTensor) -> KeyedJaggedTensor:
        keys = list(reversed(jagged.keys()))
        return KeyedJaggedTensor.from_lengths_sync(
            keys,
            torch.cat([jagged[key].values() for key in keys]),
            torch.cat([jagged[key].lengths() for key in keys]),
            weights=None if jagged.weights_or_none() is None else torch.cat([jagged[key].weights() for key in keys]),
        )

    got = embeddings(batch)
    again = embeddings(replace(batch, sparse=turned(batch.sparse), weighted=turned(batch.weighted), sequence=turned(batch.sequence)))
    assert list(got.features) == list(again.features)
    for key, value in got.features.items():
        torch.testing.assert_close(again.features[key], value, rtol=0, atol=0)


def test_features_of_one_table_are_pooled_each_in_its_own_way() -> None:
    """On a table of pooled features and on one of a sequence."""
    own = make_layout(
        [
            *FEATURES[1:3],
            *FEATURES[4:7],
            FEATURES[2] | {"name": "rivals", "pooling": "sum"},
            FEATURES[5] | {"name": "others", "pooling": "sum"},
        ]
    )
    embeddings, batch = Embeddings(own), make_batch(own, 9)
    got = embeddings(batch).features
    for slot in [slot for slot in [*own.pooled, *own.unpooled] if slot.pooling]:
        torch.testing.assert_close(got[slot.key], pooled(slot, table(embeddings, slot), part_of(batch, own, slot)[slot.key]))


def test_tables_on_the_meta_device_take_no_memory() -> None:
    assert all(value.is_meta for value in Embeddings(make_layout(), device=torch.device("meta")).parameters())


def test_segments_equal_loops() -> None:
    lengths = torch.tensor([3, 0, 1, 4, 0])
    values = torch.randn(8, 2, dtype=torch.float64)
    rows = row_of_each(lengths, 8)
    lists = values.split(lengths.tolist())
    sums = torch.stack([own.sum(dim=0) for own in lists])
    means = torch.stack([own.mean(dim=0) if len(own) else torch.zeros(2, dtype=torch.float64) for own in lists])
    torch.testing.assert_close(segment_sum(values, rows, lengths), sums)
    torch.testing.assert_close(segment_mean(values, rows, lengths), means)
