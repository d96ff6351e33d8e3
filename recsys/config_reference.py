"""The reference of all configuration keys, generated from their classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from recsys.config import Config

PLAIN_NAMES = {int: "integer", float: "number", str: "text", bool: "true/false"}


def reference() -> str:
    """A Markdown table for each section of the configuration."""
    return "\n".join(_sections()) + "\n"


def _sections() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        models = list(_models(field))
        for model in models:
            yield from _table(_title(name, model, len(models) > 1), model)


def _title(section: str, model: type[BaseModel], one_of_many: bool) -> str:
    return f"{section}: {_tag(model)}" if one_of_many else section


def _tag(model: type[BaseModel]) -> str:
    field = model.model_fields.get("kind") or model.model_fields["architecture"]
    return f"`{get_args(field.annotation)[0]}`"


def _table(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"#### {title}\n"
    yield f"{(model.__doc__ or '').strip().splitlines()[0]}\n"
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    yield from _rows(model, "")
    yield ""


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = [nested for nested in _models(field) if nested is not model]
        repeated = get_origin(field.annotation) is list
        if inner:
            yield from _rows(inner[0], f"{prefix}{name}{'[]' if repeated else ''}.")
        else:
            yield f"| `{prefix}{name}` | {_type(field.annotation)} | {_default(field)} | {field.description or ''} |"


def _models(field: FieldInfo) -> Iterator[type[BaseModel]]:
    """The section classes a field holds, itself, as a choice, or in a list."""
    pending: list[Any] = [field.annotation]
    while pending:
        annotation = pending.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        elif get_origin(annotation) is not Literal:
            pending.extend(get_args(annotation))


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " \\| ".join(f"`{value}`" for value in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return _type(annotation.__origin__)
    inner = [member for member in get_args(annotation) if member is not type(None)]
    if get_origin(annotation) is list:
        return f"list of {_type(inner[0])}"
    if get_origin(annotation) is dict:
        return f"map to {_type(inner[1])}"
    if inner:
        return " or ".join(map(_type, inner))
    return PLAIN_NAMES.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return "" if field.default is None else f"`{field.default}`"
