"""The kinds of features, a module each. To add one: its module, and its line in `Feature`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsys.data.features.bucket import BucketFeature
from recsys.data.features.cross import CrossFeature
from recsys.data.features.id import IdFeature
from recsys.data.features.ids import IdsFeature
from recsys.data.features.number import NumberFeature
from recsys.data.features.sequence import SequenceFeature, SequenceItem
from recsys.data.features.vector import VectorFeature

Feature = Annotated[
    IdFeature  # one a line
    | IdsFeature
    | SequenceFeature
    | NumberFeature
    | BucketFeature
    | CrossFeature
    | VectorFeature,
    Field(discriminator="kind"),
]

__all__ = [
    "BucketFeature",
    "CrossFeature",
    "Feature",
    "IdFeature",
    "IdsFeature",
    "NumberFeature",
    "SequenceFeature",
    "SequenceItem",
    "VectorFeature",
]
