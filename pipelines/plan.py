"""`recsys plan`: how a job's tables would be sharded, and whether it fits, without GPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from recsys.errors import InputError
from recsys.quiet import quieten


def plan(
    config: Annotated[Path, typer.Argument(help="YAML file of the job, such as configs/demo.yaml.")],
    world_size: Annotated[int, typer.Option(help="Ranks: processes of the whole job, one a GPU.")],
    local_world_size: Annotated[int | None, typer.Option(help="Ranks on a machine; up to 8 when left out.")] = None,
    hbm: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory of a rank's device: 80GB or 80GiB. No limit when left out.")
    ] = None,
    device: Annotated[str, typer.Option(help="`cuda` or `cpu`.")] = "cuda",
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override, such as train.sharding.default=auto.")
    ] = [],  # noqa: B006
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the plan for machines.")] = None,
) -> None:
    """Show where the tables of CONFIG would lie, what each rank would hold and send, and what to change if it doesn't fit."""
    from recsys.config_file import load_config
    from recsys.planning.devices import Devices, parse_bytes

    if device not in ("cuda", "cpu"):
        raise InputError(f"--device: {device!r} is none of cuda, cpu")
    local = local_world_size if local_world_size is not None else min(8, world_size)
    memory = None if hbm is None else parse_bytes(hbm, "--hbm")
    devices = Devices(world_size, local, device, memory)
    resolved = load_config(config, overrides)
    quieten()
    from rich.console import Console

    from recsys.planning.advice import advice, too_large
    from recsys.planning.estimate import estimate
    from recsys.planning.page import print_plan

    found = estimate(resolved, devices)
    changes = advice(resolved, found)
    print_plan(Console(), found, changes)
    if json_file is not None:
        json_file.write_text(json.dumps(found.to_json() | {"advice": changes}, indent=1) + "\n")
    if found.fits is False:
        raise InputError(too_large(found))
