"""Reading, overriding and writing the configuration file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from recsys.config import Config
from recsys.errors import InputError
from recsys.tracking.store import uri_of

FILE_NAME = "config.yaml"
Model = TypeVar("Model", bound=BaseModel)


def load_config(path: Path, overrides: Sequence[str] = (), tracking_uri: str | None = None) -> Config:
    """The configuration in the YAML file `path` with `section.key=value` overrides applied.

    tracking_uri: MLFLOW_TRACKING_URI of where the job will run; that of this process when None.

    Raises InputError, one line an error, for a file that is not YAML, an unknown key (with the nearest known), or a bad value.
    """
    document = read_yaml(path, "; name a configuration file, such as configs/demo.yaml")
    if not isinstance(document, dict):
        raise InputError(f"{path}: must hold sections such as run, data and tasks, but holds {type(document).__name__}")
    for override in overrides:
        _apply(document, override)
    return parse_config(document, str(path), tracking_uri)


def overridden(config: Config, overrides: Sequence[str], source: str) -> Config:
    """A configuration with `section.key=value` overrides applied; `source` names it in errors (InputError)."""
    document = config.model_dump(mode="json")
    for override in overrides:
        _apply(document, override)
    return parse_config(document, source)


def parse_config(document: dict[str, Any], source: str, tracking_uri: str | None = None) -> Config:
    """The configuration of a document; `source` names it in errors (InputError)."""
    config = validated(Config, document, source)
    run = config.run.model_copy(update={"output": config.run.output or f"runs/{config.run.name}"})
    tracking = config.tracking.model_copy(update={"uri": uri_of(config.tracking.uri or tracking_uri)})
    return config.model_copy(update={"run": run, "tracking": tracking})


def read_yaml(path: Path, advice: str = "") -> Any:
    """What a YAML file holds. Raises InputError where it can't be read, with `advice` behind, or isn't YAML."""
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}){advice}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


def validated(kind: type[Model], document: Any, source: str) -> Model:
    """A document as a section class; `source` names it in errors (InputError, one line each)."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InputError("\n".join(f"{source}: {describe(dict(item), document, kind)}" for item in error.errors())) from None


def dump_config(config: Config) -> str:
    """The resolved configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, width=120)


def json_schema() -> str:
    """The JSON schema of the configuration, for editors."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for the nearest of the known words, or a list of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _apply(document: dict[str, Any], override: str) -> None:
    """Set one dotted key. Items of a list are named by their `name` or their position: `tasks.cvr.weight=2`."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {override}: must have the form section.key=value, such as train.epochs=1")
    *parents, last = key.strip().split(".")
    place: Any = document
    for depth, part in enumerate(parents):
        place = _step_into(place, part, ".".join(parents[: depth + 1]))
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(place, list):
        place[_position(place, last, key)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise InputError(f"--set {override}: {'.'.join(parents)} is a value, not a section")


def _step_into(place: Any, part: str, where: str) -> Any:
    if isinstance(place, list):
        return place[_position(place, part, where)]
    if not isinstance(place, dict):
        raise InputError(f"--set {where}: there is no such section")
    if place.get(part) is None:
        place[part] = {}
    return place[part]


def _position(items: list[Any], part: str, where: str) -> int:
    names = [str(item.get("name", index)) if isinstance(item, dict) else str(index) for index, item in enumerate(items)]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(items):
        return int(part)
    raise InputError(f"--set {where}: no item is named {part!r}{nearest(part, names)}")


def describe(error: dict[str, Any], document: dict[str, Any], root: type[BaseModel]) -> str:
    """One line for one of pydantic's errors about `document`, which should have the form of `root`."""
    location, kind = list(error["loc"]), error["type"]
    where = _readable(location, document)
    if kind == "extra_forbidden":
        known = list(_model_at(location[:-1], root).model_fields)
        return f"{where} is not a known key{nearest(str(location[-1]), known)}"
    if kind == "missing":
        return f"{where} is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = error["ctx"]
        expected = context.get("expected_tags", "") or "see the configuration reference"
        given = f", but is {context['tag']!r}" if "tag" in context else ""
        return f"{where}.{context['discriminator'].strip(chr(39))} must be one of {expected}{given}"
    message = error["msg"].removeprefix("Value error, ")
    value = "" if isinstance(error["input"], dict | list) else f", but is {error['input']!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{value}"


def _readable(location: list[Any], document: Any) -> str:
    """`features[3] (user_id).buckets`: the place as a person would find it, without pydantic's union tags."""
    text = ""
    for part in location:
        if isinstance(part, int):
            document = document[part] if isinstance(document, list) and part < len(document) else None
            name = document.get("name") if isinstance(document, dict) else None
            text += f"[{part}]" + (f" ({name})" if name else "")
        elif isinstance(document, dict) and (part in document or not _is_tag(part, document)):
            document = document.get(part)
            text += f".{part}" if text else part
    return text or "the file"


def _is_tag(part: str, document: dict[str, Any]) -> bool:
    return part in (document.get("kind"), document.get("architecture"))


def _model_at(location: list[Any], root: type[BaseModel]) -> type[BaseModel]:
    """The section class at a location of pydantic's."""
    annotation: Any = root
    for part in location:
        if isinstance(part, int):
            annotation = get_args(_unwrap(annotation))[0]
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in annotation.model_fields:
            annotation = annotation.model_fields[part].annotation
        else:
            annotation = next(member for member in get_args(_unwrap(annotation)) if part in _tags(member))
    return _unwrap(annotation)


def _unwrap(annotation: Any) -> Any:
    """The type inside Annotated and Optional."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) is Union or str(get_origin(annotation)) == "<class 'types.UnionType'>":
        members = [member for member in get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation


def _tags(member: type[BaseModel]) -> tuple[Any, ...]:
    field = member.model_fields.get("kind") or member.model_fields.get("architecture")
    return get_args(field.annotation) if field else ()
