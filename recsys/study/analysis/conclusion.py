"""What a group's figures allow one to say, in words. A mean alone allows nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from recsys.study.findings import DELTA_M, Entry, Group, PairedDifference, StudyTask

FEWEST_SEEDS = 3  # below which a deviation over seeds is hardly known
RULE = (
    "A strategy is better (worse) than another on a task beyond doubt when the whole 95 % interval of the mean paired difference lies on "
    "that side of 0 and p is below .05 after Holm's correction over all strategies and tasks that are compared with the same one. The "
    "interval holds the spread over training seeds and that of the test rows. Whatever is not beyond doubt can't be told apart, which is "
    "no proof of being alike."
)


def conclude(group: Group, tasks: Sequence[StudyTask]) -> list[str]:
    """Sentences on the evidence, on each reference, on the best of valid, and on what more seeds would show."""
    compared = [entry for entry in group.entries if entry.strategy != "single"]
    said = [_evidence(group, compared)]
    if all(len(entry.seeds) < 2 for entry in compared):
        return said
    for reference in filter(None, map(group.of_strategy, ("equal", "tuned"))):
        said += _against(group, reference, tasks)
    said += _single(group)
    said += _leader(group)
    said += _more_seeds(group)
    return said


def names(found: Sequence[str]) -> str:
    """`a, b and c`."""
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def _evidence(group: Group, compared: Sequence[Entry]) -> str:
    seeds = [len(entry.seeds) for entry in compared] or [0]
    many = f"{min(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    strategies = f"{len(compared)} strateg{'y' if len(compared) == 1 else 'ies'}, {many} seed{'' if max(seeds) == 1 else 's'} each"
    if max(seeds) < 2:
        return f"{strategies}: a single seed says nothing about another training, so nothing is concluded; run at least {FEWEST_SEEDS}."
    few = f"Fewer than {FEWEST_SEEDS} seeds hardly show their spread: only enormous differences can be found."
    return f"{strategies}. {few}" if min(seeds) < FEWEST_SEEDS else f"{strategies}."


def _against(group: Group, reference: str, tasks: Sequence[StudyTask]) -> list[str]:
    """Who is better, worse, both, or can't be told apart, on the tasks."""
    by_entry: dict[str, list[PairedDifference]] = {}
    for part in group.differences:
        judged = part.reference == reference and part.task != DELTA_M and not math.isnan(part.p)
        if judged and group.entry(part.entry).strategy != "single":
            by_entry.setdefault(part.entry, []).append(part)
    if not by_entry:
        return []
    kinds: dict[str, list[str]] = {"better": [], "worse": [], "both": [], "neither": []}
    for name, parts in by_entry.items():
        verdicts = {part.verdict for part in parts} - {"inconclusive"}
        kinds["both" if len(verdicts) == 2 else verdicts.pop() if verdicts else "neither"].append(name)
    said = []
    for kind, start in (
        ("better", f"Better than {reference} beyond doubt on a task, worse on none"),
        ("both", f"Better than {reference} on one task and worse on another"),
        ("worse", f"Worse than {reference} beyond doubt on a task, better on none"),
    ):
        if kinds[kind]:
            told = "; ".join(f"{name} ({_differing(by_entry[name], tasks)})" for name in kinds[kind])
            said.append(f"{start}: {told}.")
    if not kinds["better"] and not kinds["both"]:
        said.insert(0, f"No strategy is better than {reference} on any task beyond doubt.")
    if kinds["neither"]:
        said.append(
            f"Can't be told apart from {reference} on any task: {names(kinds['neither'])} ({len(kinds['neither'])} of {len(by_entry)}). "
            + _missable(parts for parts in by_entry.values())
        )
    return said


def _differing(parts: Sequence[PairedDifference], tasks: Sequence[StudyTask]) -> str:
    order = [task.name for task in tasks]
    certain = sorted((part for part in parts if part.verdict != "inconclusive"), key=lambda part: order.index(part.task))
    return ", ".join(
        f"{part.task} {signed(part.mean, part)}, 95 % interval {signed(part.low, part)} to {signed(part.high, part)}, "
        f"p {p_value(part.p_holm)}"
        for part in certain
    )


def _missable(by_entry: Iterable[Sequence[PairedDifference]]) -> str:
    """What these seeds and rows could have missed, on each task."""
    detectable: dict[str, list[float]] = {}
    for parts in by_entry:
        for part in parts:
            if not math.isnan(part.detectable):
                detectable.setdefault(part.task, []).append(part.detectable)
    if not detectable:
        return ""
    told = ", ".join(f"{task} {median(values):.2g}" for task, values in detectable.items())
    return f"True differences below {told} (medians; found with 80 % power) may well have gone unseen."


def _single(group: Group) -> list[str]:
    """Whether sharing pays at all: delta-m with its interval against 0."""
    if group.reference != "single":
        return []
    parts = [part for part in group.differences if part.reference == "single" and part.task == DELTA_M and not math.isnan(part.p)]
    said = []
    for verdict in ("better", "worse"):
        found = [f"{part.entry} ({_delta(part)})" for part in parts if part.verdict == verdict]
        if found:
            said.append(f"{verdict.capitalize()} than single-task models over all tasks beyond doubt, by delta-m: {names(found)}.")
    if parts and not said:
        said.append("No strategy's delta-m differs from that of single-task models beyond doubt.")
    return said


def _leader(group: Group) -> list[str]:
    """The rival that valid chose, and who can't be told apart from it."""
    if group.rival is None:
        return []
    leader = group.entry(group.rival)
    to_leader = [part for part in group.differences if part.reference == leader.name and part.task == DELTA_M]
    to_leader = [part for part in to_leader if group.entry(part.entry).strategy != "single" and not math.isnan(part.p)]
    start = f"{leader.name} has the highest mean delta-m on valid ({leader.delta_m.value:+.2f} % on test, to {group.reference})"
    if not to_leader:
        return [f"{start}, which by itself says nothing: there is nothing that it could be told apart from."]
    kinds = {verdict: [part.entry for part in to_leader if part.verdict == verdict] for verdict in ("inconclusive", "worse", "better")}
    said = [f"{start}{_in_doubt(kinds['inconclusive'], len(to_leader))}."]
    said += [f"{verdict.capitalize()} than it beyond doubt: {names(kinds[verdict])}." for verdict in ("worse", "better") if kinds[verdict]]
    return said


def _in_doubt(found: Sequence[str], asked: int) -> str:
    if not found:
        return ""
    if len(found) == asked:
        return f", but none of the {asked} others can be told apart from it by delta-m on test"
    return f", but {names(found)} ({len(found)} of {asked}) can't be told apart from it by delta-m on test"


def _more_seeds(group: Group) -> list[str]:
    """Of the differences to `equal` in delta-m that are not beyond doubt, what the largest would take."""
    base = group.of_strategy("equal")
    parts = [part for part in group.differences if part.reference == base and part.task == DELTA_M and part.verdict == "inconclusive"]
    parts = [part for part in parts if not math.isnan(part.p) and part.mean != 0]
    if not parts:
        return []
    largest = max(parts, key=lambda part: abs(part.mean))
    start = f"The largest difference in delta-m to {base} that is in doubt is that of {largest.entry} ({_delta(largest)})"
    if largest.seeds_needed is None:
        return [f"{start}: no number of seeds would show one of that size beyond doubt; the test rows alone leave more open than it."]
    return [f"{start}: to show one of that size beyond doubt takes about {largest.seeds_needed} seeds."]


def _delta(part: PairedDifference) -> str:
    return f"{part.mean:+.2f} %, 95 % interval {part.low:+.2f} to {part.high:+.2f}"


def signed(value: float, part: PairedDifference) -> str:
    """With as many decimals as show two digits of the interval's half width."""
    half = (part.high - part.low) / 2
    decimals = min(max(1 - math.floor(math.log10(half)), 2), 8) if half > 0 else 4
    return f"{value:+.{decimals}f}"


def p_value(p: float) -> str:
    """Three decimals without the 0."""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0")
