"""From intervals to a decision, by a rule that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.evaluation.comparison import Recommendation, Verdict

LEVEL = 0.05
RULE = (
    "A task is better (worse) when the whole 95 % interval of the difference in its deciding metric lies beyond the margin on that side; "
    "better must also hold after Holm's correction over the tasks. Promote when at least one task is better and no guardrail fails. "
    "A guardrail fails when its task is worse, and is in doubt when it has a margin and its interval reaches beyond it on the bad side. "
    "Keep the baseline when a guardrail fails, or when no task can be better by more than its margin. Else gather more evidence."
)
Advice = Literal["promote", "keep the baseline", "gather more evidence"]


@dataclass(frozen=True)
class Finding:
    """A task's difference to the baseline in its deciding metric, with its 95 % interval and what follows from it."""

    task: str
    metric: str
    higher_is_better: bool
    margin: float
    guardrail: bool
    difference: float
    low: float
    high: float
    verdict: Verdict

    @property
    def gain(self) -> tuple[float, float]:
        """The interval's ends, the bad one first: above 0 is good."""
        return (self.low, self.high) if self.higher_is_better else (-self.high, -self.low)


def judge(low: float, high: float, margin: float, higher_is_better: bool, *, p_better: float, p_worse: float) -> Verdict:
    """The verdict on one difference.

    Args:
        low, high: its 95 % interval; NaN (too few rows) is inconclusive.
        margin: how large a difference has to be to matter, not below 0.
        p_better, p_worse: two-sided p-values that each of these verdicts has to answer for, corrected or not.
    """
    worst, best = (low, high) if higher_is_better else (-high, -low)
    if worst > margin and p_better < LEVEL:
        return "better"
    if best < -margin and p_worse < LEVEL:
        return "worse"
    return "inconclusive"


def recommend(candidate: str, baseline: str, findings: Sequence[Finding]) -> Recommendation:
    """The overall verdict by `RULE`, with its reasons in words."""
    advice, verdict, reason = _decide(baseline, findings)
    sentences = [f"{advice[0].upper()}{advice[1:]}: {reason}.", *(_sentence(finding) for finding in findings)]
    return Recommendation(
        candidate=candidate,
        verdict=verdict,
        recommendation=advice,
        rule=RULE,
        words=" ".join(sentences),
        tasks={finding.task: finding.verdict for finding in findings},
    )


def _decide(baseline: str, findings: Sequence[Finding]) -> tuple[Advice, Verdict, str]:
    better = [finding.task for finding in findings if finding.verdict == "better"]
    failed = [finding.task for finding in findings if finding.guardrail and finding.verdict == "worse"]
    doubtful = [finding.task for finding in findings if finding.guardrail and finding.margin > 0 and not finding.gain[0] > -finding.margin]
    if failed:
        return "keep the baseline", "worse", f"it is worse than {baseline} on {_list(failed)}"
    if better and not doubtful:
        return "promote", "better", f"it is better than {baseline} on {_list(better)} and no guardrail fails"
    if better:
        return (
            "gather more evidence",
            "inconclusive",
            f"it is better than {baseline} on {_list(better)}, but {_list(doubtful)} may be worse by more than the margin",
        )
    if findings and all(finding.gain[1] <= finding.margin for finding in findings):
        worse = any(finding.verdict == "worse" for finding in findings)
        return (
            "keep the baseline",
            "worse" if worse else "inconclusive",
            f"no task can be better than with {baseline} by more than its margin",
        )
    return (
        "gather more evidence",
        "inconclusive",
        "no task is better beyond doubt" + (f"; {_list(doubtful)} may be worse by more than the margin" if doubtful else ""),
    )


def _sentence(finding: Finding) -> str:
    numbers = f"{finding.metric} {finding.difference:+.5f}, 95 % interval {finding.low:+.5f} to {finding.high:+.5f}"
    direction = "" if finding.higher_is_better else ", lower is better"
    margin = f", margin {finding.margin:g}" if finding.margin else ""
    return f"{finding.task}: {finding.verdict} ({numbers}{direction}{margin})."


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
