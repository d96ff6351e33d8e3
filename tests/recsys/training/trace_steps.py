"""Run under torchrun: trains the jobs given as files and writes what each step of each rank used.

torchrun --nproc-per-node N trace_steps.py OUTPUT STEPS CONFIG ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from rich.console import Console

from recsys.config_file import load_config
from recsys.distributed import World, process_group
from recsys.evaluation.evaluate import evaluate
from recsys.training.assembly import build_trainer


def trace(config_file: Path, steps: int, output: Path, world: World) -> None:
    config = load_config(config_file, [f"run.output={output}"])
    output.mkdir(parents=True, exist_ok=True)
    trainer = build_trainer(config, world, output, Console(quiet=True), resume=False)
    losses, weights = [], []
    for _, batch in zip(range(steps), trainer.parts.readers["train"].epoch(0), strict=False):
        trainer.step(batch)
        trainer.clock.advance(0)
        losses.append(trainer.parts.balancer.losses.tolist())
        weights.append([value.hex() for value in trainer.parts.balancer.weights.tolist()])
    metrics = evaluate(trainer.parts.model, trainer.parts.readers["valid"], config.tasks, world)
    (output / f"rank-{world.rank}.json").write_text(json.dumps({"losses": losses, "weights": weights, "metrics": metrics}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group() as everyone:
        for file in sys.argv[3:]:
            trace(Path(file), int(sys.argv[2]), Path(sys.argv[1]) / Path(file).stem, everyone)
