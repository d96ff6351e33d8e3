"""Target attention against one row at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import FEATURES, make_layout
from torch import Tensor
from torchrec import JaggedTensor

from recsys.data.features import SequenceFeature
from recsys.models.attention import TargetAttention
from recsys.models.embeddings import Embedded

WIDTHS = {"history.videos": 8, "history.hour": 4}


def make_attention(**changes: Any) -> TargetAttention:
    return TargetAttention(SequenceFeature.model_validate(FEATURES[6] | changes), WIDTHS).double()


def make_embedded(lengths: list[int], seed: int = 0) -> Embedded:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(lengths)

    def draw(rows: int, width: int) -> Tensor:
        return torch.randn(rows, width, dtype=torch.float64, generator=generator)

    histories = {key: JaggedTensor(draw(sum(lengths), width), lengths=sizes) for key, width in WIDTHS.items()}
    return Embedded({"video": draw(len(lengths), 8)}, histories)


def by_row(attention: TargetAttention, embedded: Embedded, row: int, order: list[int] | None = None) -> Tensor:
    """One row in the paper's terms: a score an element, no padding, no batch."""
    lists = [embedded.histories[key].to_dense()[row] for key in WIDTHS]
    keys = torch.cat(lists, dim=1)
    if not len(keys):
        return keys.new_zeros(attention.outputs)
    total, query = torch.zeros_like(keys[0]), embedded.features["video"][row]
    for key in keys:
        inputs = torch.cat([key, query * key[:8]])
        hidden = attention.of_element.weight @ inputs + attention.of_element.bias + attention.of_candidate.weight @ query
        total = total + torch.sigmoid(attention.unit(hidden)) * key / 7**0.5
    return torch.cat([total, keys.mean(dim=0)])


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    layers=st.sampled_from([[], [6], [6, 5], [4, 4, 3]]),
)
def test_attention_equals_a_loop_over_rows(lengths: list[int], seed: int, layers: list[int]) -> None:
    attention, embedded = make_attention(attention_layers=layers), make_embedded(lengths, seed)
    got = attention(embedded)
    assert got.shape == (len(lengths), 24)
    reference = torch.stack([by_row(attention, embedded, row) for row in range(len(lengths))])
    torch.testing.assert_close(got, reference, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 99))
def test_the_order_of_a_history_does_not_matter(order: list[int], seed: int) -> None:
    attention, embedded = make_attention(), make_embedded([0, 6, 2], seed)
    shuffled = [*order, 6, 7]
    turned = {key: JaggedTensor(own.values()[shuffled], lengths=own.lengths()) for key, own in embedded.histories.items()}
    torch.testing.assert_close(attention(Embedded(embedded.features, turned)), attention(embedded), rtol=0, atol=1e-12)


def test_empty_histories_give_zeros_and_no_gradient_is_lost() -> None:
    attention, embedded = make_attention(), make_embedded([0, 0, 0])
    got = attention(embedded)
    assert torch.equal(got, torch.zeros(3, 24, dtype=torch.float64))
    got.sum().backward()
    assert all(parameter.grad is not None and (parameter.grad == 0).all() for parameter in attention.parameters())


def test_the_unit_can_see_the_difference_of_query_and_key() -> None:
    """A linear layer over [q, k, q - k, q * k], as in the paper, is one over [k, q * k] plus one over q."""
    attention, embedded = make_attention(), make_embedded([2, 3])
    whole = torch.randn(6, 8 + 12 + 8 + 8, dtype=torch.float64)  # q, k, q - k, q * k
    of_query, of_key, of_difference, of_product = whole.split([8, 12, 8, 8], dim=1)
    of_key = of_key.clone()
    of_key[:, :8] -= of_difference
    with torch.no_grad():
        attention.of_candidate.weight.copy_(of_query + of_difference)
        attention.of_element.weight.copy_(torch.cat([of_key, of_product], dim=1))
    rows = torch.tensor([0, 0, 1, 1, 1])
    query = embedded.features["video"][rows]
    videos, hours = (embedded.histories[key].values() for key in WIDTHS)
    papers = torch.cat([query, videos, hours, query - videos, query * videos], dim=1) @ whole.T + attention.of_element.bias
    torch.testing.assert_close(attention._hidden(embedded, torch.cat([videos, hours], dim=1), rows), papers)


def test_a_history_without_targets_is_weighed_by_its_own_elements() -> None:
    items = [{"column": "videos", "buckets": 60, "dimension": 8}, {"column": "hour", "buckets": 24, "dimension": 4}]
    attention = make_attention(items=items)
    embedded = make_embedded([3, 0])
    got = attention(Embedded({}, embedded.histories))
    assert got.isfinite().all()
    assert (got[1] == 0).all()


def test_an_item_column_of_its_own_table_is_found_by_its_key() -> None:
    own = make_layout()
    assert {slot.key for slot in own.unpooled if slot.sequence} == set(WIDTHS)


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_extreme_scores_stay_finite(value: float) -> None:
    attention, embedded = make_attention(attention_layers=[]), make_embedded([7])
    with torch.no_grad():
        attention.of_element.bias.fill_(value)
    assert attention(embedded).isfinite().all()
