"""Small models and random batches for the tests of models and distribution."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import TypeAdapter
from torchrec import KeyedJaggedTensor

from recsys.config import Feature, Model, Task
from recsys.data.batch import Batch
from recsys.data.features.feature import Slot
from recsys.data.layout import Layout, layout

# Shared pooled tables, an id and a list on a sequence's table, an item column of another width without a target, numbers, weighted
# lists on a table that an id shares and on a sequence's table, a vector.
FEATURES: list[dict[str, Any]] = [
    {"kind": "id", "name": "user", "buckets": 2500, "dimension": 8},
    {"kind": "id", "name": "brand", "buckets": 30, "dimension": 4},
    {"kind": "ids", "name": "brands", "table": "brand", "max_length": 5},
    {"kind": "ids", "name": "tags", "buckets": 40, "dimension": 8, "pooling": "sum", "max_length": 5},
    {"kind": "id", "name": "video", "buckets": 60, "dimension": 8},
    {"kind": "ids", "name": "related", "table": "video", "max_length": 4},
    {
        "kind": "sequence",
        "name": "history",
        "max_length": 7,
        "attention_layers": [6, 5],
        "items": [{"column": "videos", "table": "video", "target": "video"}, {"column": "hour", "buckets": 24, "dimension": 4}],
    },
    {"kind": "number", "name": "age"},
    {"kind": "number", "name": "price"},
    {"kind": "ids", "name": "topics", "buckets": 50, "dimension": 8, "weights": "topic_shares", "max_length": 5},
    {"kind": "ids", "name": "themes", "table": "topics", "weights": "theme_shares", "pooling": "sum", "max_length": 4},
    {"kind": "id", "name": "topic", "table": "topics"},
    {"kind": "ids", "name": "watched", "table": "video", "weights": "watched_shares", "max_length": 4},
    {"kind": "ids", "name": "liked", "table": "video", "weights": "liked_shares", "pooling": "sum", "max_length": 4},
    {"kind": "vector", "name": "content", "size": 3},
]
TASKS: list[dict[str, Any]] = [
    {"kind": "binary", "name": "ctr", "label": "click"},
    {"kind": "binary", "name": "cvr", "label": "buy", "space": "click", "weight": 2.0},
    {"kind": "duration", "name": "dwell", "label": "seconds"},
]
MODELS: dict[str, dict[str, Any]] = {
    "mmoe": {"architecture": "mmoe", "experts": 3, "expert_layers": [12, 6], "tower_layers": [5]},
    "ple": {"architecture": "ple", "levels": 2, "expert_layers": [12, 6], "tower_layers": [5]},
    "shared_bottom": {"architecture": "shared_bottom", "bottom_layers": [12, 6], "tower_layers": [5]},
    "single": {"architecture": "single", "bottom_layers": [12, 6], "tower_layers": [5]},
}


def make_layout(features: list[dict[str, Any]] | None = None) -> Layout:
    """The layout of `features`."""
    return layout(TypeAdapter(list[Feature]).validate_python(FEATURES if features is None else features))


def make_tasks() -> list[Task]:
    """Click, conversion and dwell time."""
    return TypeAdapter(list[Task]).validate_python(TASKS)


def make_model_config(architecture: str, **changes: Any) -> Model:
    """A small configuration of `architecture`."""
    return TypeAdapter(Model).validate_python(MODELS[architecture] | changes)


def make_batch(own: Layout, rows: int, seed: int = 0, keep: slice | None = None) -> Batch:
    """`rows` random rows with empty lists, missing labels and weights; only those in `keep` if given."""
    keep = keep or slice(0, rows)
    generator = torch.Generator().manual_seed(seed)
    lengths: dict[str, torch.Tensor] = {}  # item columns of a sequence are aligned

    def part(slots: list[Slot]) -> KeyedJaggedTensor | None:
        values, sizes, weights = [], [], []
        for slot in slots:
            limit = slot.max_length
            drawn = torch.randint(0, 1 + (limit or 0), (rows,), generator=generator) if limit else torch.ones(rows, dtype=torch.long)
            size = lengths.setdefault(slot.sequence or slot.key, drawn)
            ids = torch.randint(0, own.tables[slot.table].rows, (int(size.sum()),), generator=generator)
            values.append(torch.cat(ids.split(size.tolist())[keep] or [ids[:0]]))
            sizes.append(size[keep])
            if any(slot.weighted for slot in slots):
                drawn = torch.rand(len(ids), generator=generator).mul(4).floor() if slot.weighted else torch.ones(len(ids))
                weights.append(torch.cat(drawn.split(size.tolist())[keep] or [drawn[:0]]))
        if not slots:
            return None
        keys = [slot.key for slot in slots]
        return KeyedJaggedTensor.from_lengths_sync(
            keys, torch.cat(values), torch.cat(sizes).int(), weights=torch.cat(weights) if weights else None
        )

    sparse, sequence, weighted = part(own.pooled), part(own.unpooled), part(own.weighted)
    dense = torch.randn(rows, own.width, generator=generator)
    masks = torch.rand(rows, 3, generator=generator) < torch.tensor([1.0, 0.4, 0.8])
    labels = torch.rand(rows, 3, generator=generator)
    labels = torch.stack([labels[:, 0].round(), labels[:, 1].round(), labels[:, 2] * 100], dim=1) * masks
    importance = 0.5 + torch.rand(rows, generator=generator)
    return Batch(sparse, sequence, dense[keep], labels[keep], masks[keep], importance[keep], weighted)
