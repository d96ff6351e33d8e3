"""Attention of a candidate over a history."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recsys.data.features.sequence import SequenceFeature, item_key
from recsys.models.embeddings import Embedded
from recsys.models.layers import MLP
from recsys.models.segments import row_of_each, segment_mean, segment_sum


class TargetAttention(nn.Module):
    """DIN (Zhou et al., arXiv:1706.06978): a history, weighed by how much each element has to do with the candidate; and its plain mean.

    An element's key k is all its columns; the query q is the candidate's embeddings of those columns that have a target. The unit sees
    q, k and q * k (q - k adds nothing to a linear layer that sees both). It works on the elements there are, without padding.

    As in the paper the weights are not normalised by a softmax, so that a long history counts for more; they pass a sigmoid and are
    divided by sqrt(max_length), so that their sum stays of the size of one element's embedding. The mean is what attention starts from.
    """

    def __init__(self, sequence: SequenceFeature, widths: dict[str, int]) -> None:
        """`widths`: dimension of each item column's embedding, by key."""
        super().__init__()
        self.keys = [item_key(sequence, item.column) for item in sequence.items]
        self.targets = {item_key(sequence, item.column): item.target for item in sequence.items if item.target is not None}
        self.scale = 1 / math.sqrt(sequence.max_length)
        width, attended = sum(widths[key] for key in self.keys), sum(widths[key] for key in self.targets)
        hidden = sequence.attention_layers
        first = hidden[0] if hidden else 1
        self.of_element = nn.Linear(width + attended, first)
        self.of_candidate = nn.Linear(attended, first, bias=False) if attended else None
        self.unit = _rest_of_unit(hidden)
        self.outputs = 2 * width

    def forward(self, embedded: Embedded) -> Tensor:
        """(B, 2 D): the attended sum and the mean of the history; zeros where it is empty."""
        histories = embedded.histories
        lengths = histories[self.keys[0]].lengths()
        values = torch.cat([histories[key].values() for key in self.keys], dim=1)
        rows = row_of_each(lengths, values.size(0))
        weights = torch.sigmoid(self.unit(self._hidden(embedded, values, rows))).to(values.dtype) * self.scale
        return torch.cat([segment_sum(values * weights, rows, lengths), segment_mean(values, rows, lengths)], dim=1)

    def _hidden(self, embedded: Embedded, values: Tensor, rows: Tensor) -> Tensor:
        """(N, H) of the unit's first layer."""
        if self.of_candidate is None:
            return self.of_element(values)
        query = torch.cat([embedded.features[target] for target in self.targets.values()], dim=1)
        attended = torch.cat([embedded.histories[key].values() for key in self.targets], dim=1)
        products = query.index_select(0, rows) * attended
        return self.of_element(torch.cat([values, products], dim=1)) + self.of_candidate(query).index_select(0, rows)


def _rest_of_unit(layers: list[int]) -> nn.Sequential:
    """(N, layers[0]) -> (N, 1): what follows the first linear layer of the attention unit."""
    if not layers:
        return nn.Sequential()
    rest = MLP(layers[0], layers[1:])
    return nn.Sequential(nn.ReLU(), rest, nn.Linear(rest.outputs, 1))
