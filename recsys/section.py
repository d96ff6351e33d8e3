"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Layers = list[PositiveInt]


class Section(BaseModel):
    """Base of every section: unknown keys are refused and values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
