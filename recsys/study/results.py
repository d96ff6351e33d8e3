"""What a study leaves for machines: `results.json`, `results.csv`, and metrics for MLflow."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

from recsys.files import write_whole
from recsys.study.findings import DELTA_M, Entry, Findings, Group, PairedDifference

JSON, CSV = "results.json", "results.csv"
_COMPARED = ("equal", "tuned", "single")


def write_results(findings: Findings, folder: Path) -> list[Path]:
    """Write both files into `folder`, each whole or not at all. The files written."""
    findings.save(folder / JSON)
    rows = [_row(findings, group, entry) for group in findings.groups for entry in group.entries]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / CSV, text.getvalue())
    return [folder / JSON, folder / CSV]


def metrics_of(findings: Findings) -> dict[str, float]:
    """Metrics of the parent run in MLflow: `STRATEGY/TASK/METRIC` and what belongs to it, below the architecture where there are several.

    STRATEGY is an entry's name with what MLflow doesn't admit replaced. Only what is a number.
    """
    found: dict[str, float] = {}
    for group in findings.groups:
        start = f"{_key(group.architecture)}/" if len(findings.groups) > 1 else ""
        for entry in group.entries:
            found |= {f"{start}{_key(entry.name)}/{name}": value for name, value in _numbers(findings, group, entry).items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _numbers(findings: Findings, group: Group, entry: Entry) -> dict[str, float]:
    found = {
        "seeds": float(len(entry.seeds)),
        "delta_m": entry.delta_m.value,
        "delta_m/low": entry.delta_m.low,
        "delta_m/high": entry.delta_m.high,
        "mean_rank": entry.mean_rank,
        "tasks_better": float(len(entry.better)),
        "tasks_worse": float(len(entry.worse)),
        "step_cost": entry.step_cost,
        "cpu_step_cost": entry.cpu_step_cost,
        "peak_memory": entry.peak_memory,
        "conflict": entry.conflict,
        "contribution_variance": entry.contribution_variance,
    }
    equal = group.of_strategy("equal")
    for task in findings.tasks:
        name = f"{task.name}/{task.metric}"
        found |= {name: entry.test[task.name].mean, f"{name}/sd": entry.test[task.name].deviation}
        part = group.difference(entry.name, equal, task.name) if equal else None
        if part is not None:
            found |= {f"{name}/to_equal": part.mean, f"{name}/to_equal/low": part.low, f"{name}/to_equal/high": part.high}
            found[f"{name}/to_equal/p_holm"] = part.p_holm
    return found


def _row(findings: Findings, group: Group, entry: Entry) -> dict[str, object]:
    row: dict[str, object] = {
        "architecture": group.architecture,
        "name": entry.name,
        "strategy": entry.strategy,
        "setting": json.dumps(entry.setting) if entry.setting else "",
        "settings_tried": entry.tried,
        "search_trainings": entry.search_trainings,
        "seeds": " ".join(map(str, entry.seeds)),
    }
    for task in findings.tasks:
        for split, spreads in (("test", entry.test), ("valid", entry.valid)):
            spread = spreads[task.name]
            row |= {f"{split}/{task.name}/{task.metric}": spread.mean, f"{split}/{task.name}/{task.metric}/sd": spread.deviation}
    row |= {"delta_m": entry.delta_m.value, "delta_m/low": entry.delta_m.low, "delta_m/high": entry.delta_m.high}
    row |= {"delta_m/reference": group.reference or "", "mean_rank": entry.mean_rank, "on_pareto_front": entry.on_front}
    row |= {"better_than_equal": " ".join(entry.better), "worse_than_equal": " ".join(entry.worse)}
    row |= {"runs_won_to_equal": entry.seeds_won, "runs": entry.blocks, "step_cost": entry.step_cost, "cpu_step_cost": entry.cpu_step_cost}
    row |= {name: getattr(entry, name) for name in ("seconds_per_step", "samples_per_second", "peak_memory")}
    row |= {"conflict": entry.conflict, "contribution_variance": entry.contribution_variance}
    for title, reference in (*((name, group.of_strategy(name)) for name in _COMPARED), ("rival", group.rival)):
        for name in (*(task.name for task in findings.tasks), DELTA_M):
            part = group.difference(entry.name, reference, name) if reference else None
            row |= {} if part is None else _columns(part, f"to_{title}/{name}")
    return {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _columns(part: PairedDifference, start: str) -> dict[str, object]:
    numbers = {"": part.mean, "/low": part.low, "/high": part.high, "/p": part.p, "/p_holm": part.p_holm}
    return {f"{start}{name}": value for name, value in numbers.items()} | {f"{start}/verdict": part.verdict}


def _key(name: str) -> str:
    """With letters, digits and `_-. ` alone, which every store of MLflow admits."""
    return re.sub(r"[^\w\-. ]", "_", name, flags=re.ASCII)
