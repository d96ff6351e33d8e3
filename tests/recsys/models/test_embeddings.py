"""Tables against nn.Embedding and nn.EmbeddingBag."""

from __future__ import annotations

import pytest
import torch
from model_cases import FEATURES, make_batch, make_layout
from torch import Tensor, nn
from torchrec import KeyedJaggedTensor

from recsys.data.batch import Batch
from recsys.data.features.feature import Slot
from recsys.models.embeddings import Embeddings, table_key
from recsys.models.segments import row_of_each, segment_mean, segment_sum


def table(embeddings: Embeddings, slot: Slot) -> Tensor:
    found = [value for key, value in embeddings.state_dict().items() if key.endswith(f".{table_key(slot.table)}.weight")]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("seed", range(3))
def test_features_are_what_embedding_bags_give(seed: int) -> None:
    own = make_layout()
    embeddings, batch = Embeddings(own), make_batch(own, 13, seed)
    got = embeddings(batch)
    for slot in [*own.pooled, *own.unpooled]:
        jagged = (batch.sparse if slot in own.pooled else batch.sequence)[slot.key]
        weight = table(embeddings, slot)
        assert weight.shape == (own.tables[slot.table].rows, own.tables[slot.table].dimension)
        if slot.sequence:
            torch.testing.assert_close(got.histories[slot.key].values(), weight[jagged.values()], rtol=0, atol=0)
            assert torch.equal(got.histories[slot.key].lengths(), jagged.lengths())
        else:
            bag = nn.EmbeddingBag.from_pretrained(weight, mode=slot.pooling or "sum", include_last_offset=True)
            torch.testing.assert_close(got.features[slot.key], bag(jagged.values(), jagged.offsets().long()))
    assert set(got.features) | set(got.histories) == {slot.key for slot in [*own.pooled, *own.unpooled]}


def test_the_order_of_keys_in_the_batch_does_not_matter() -> None:
    own = make_layout()
    embeddings, batch = Embeddings(own), make_batch(own, 6)

    def turned(jagged: KeyedJaggedTensor) -> KeyedJaggedTensor:
        keys = list(reversed(jagged.keys()))
        return KeyedJaggedTensor.from_lengths_sync(
            keys, torch.cat([jagged[key].values() for key in keys]), torch.cat([jagged[key].lengths() for key in keys])
        )

    got = embeddings(batch)
    again = embeddings(Batch(turned(batch.sparse), turned(batch.sequence), batch.dense, batch.labels, batch.masks, batch.weights))
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
        jagged = (batch.sparse if slot in own.pooled else batch.sequence)[slot.key]
        bag = nn.EmbeddingBag.from_pretrained(table(embeddings, slot), mode=slot.pooling, include_last_offset=True)
        torch.testing.assert_close(got[slot.key], bag(jagged.values(), jagged.offsets().long()))


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
