"""What an A/B evaluation found: everything that its page, its table and its JSON show, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from recsys.files import read_model

Verdict = Literal["better", "worse", "inconclusive"]
Estimator = Literal["logged", "ips", "snips", "doubly_robust"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Slice(_Part):
    """The rows where `column` has `value`."""

    column: str
    value: str


class Data(_Part):
    """The rows that were evaluated. group: the column of users, by whom rows are resampled; None where rows are taken as independent."""

    paths: list[str]
    rows: int
    group: str | None
    groups: int
    first_time: str | None = None
    last_time: str | None = None
    fingerprint: str


class Candidate(_Part):
    """Who was compared. `spec` is what was typed; `trained_on` the paths of its training split.

    run_ids: the MLflow runs of all its training seeds; run_id: the first one's.
    """

    name: str
    spec: str
    kind: Literal["model", "scores"]
    run_id: str | None = None
    run_ids: list[str] = []
    strategy: str | None = None
    architecture: str | None = None
    seed: int | None = None
    step: int | None = None
    trained_on: list[str] = []


class TaskSummary(_Part):
    """A task and its sample space. `metric` is the one that decides: `auc` for binary tasks, `rmse_log1p` for durations by default."""

    name: str
    kind: Literal["binary", "duration"]
    metric: str
    higher_is_better: bool
    margin: float
    guardrail: bool
    rows: int
    positives: int


class Estimate(_Part):
    """A metric of one candidate, on all rows or a slice, with its 95 % interval (NaN where there is none)."""

    candidate: str
    task: str
    metric: str
    slice: Slice | None = None
    value: float
    low: float
    high: float
    rows: int
    positives: int
    groups: int
    left_out: int = 0


class Difference(_Part):
    """A candidate's metric minus the baseline's on the same rows.

    low, high: 95 % interval; on all rows of candidates with several seeds it holds their spread too. p: two-sided, of no difference;
    p_holm, p_fdr: corrected over all slices and tasks of the candidate's metric. minimum_detectable: the difference that these rows would
    show with 80 % power; rows_needed: rows that would show this difference so; both without the spread over seeds.
    """

    candidate: str
    task: str
    metric: str
    slice: Slice | None = None
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_fdr: float
    method: Literal["delong", "bootstrap"]
    minimum_detectable: float
    rows_needed: float
    verdict: Verdict


class SeedSpread(_Part):
    """A difference over pairs of runs that differ in their seed: the spread of training, kept apart from that of the rows.

    Each of `differences` belongs to one seed. rows_deviation: the standard error that the rows give; seeds_deviation: the
    deviation over seeds. low, high: 95 % interval of the mean over seeds, with both.
    """

    candidate: str
    task: str
    metric: str
    seeds: list[int]
    differences: list[float]
    mean: float
    seeds_deviation: float
    rows_deviation: float
    low: float
    high: float


class Curve(_Part):
    """Points of a curve of one candidate and task. `roc`: false against true positive rate. `calibration`: mean prediction against share of
    positives in bins of equal mass, with interval and rows. `scores`: edges (n + 1) in x and share of rows (n) in y.
    """

    kind: Literal["roc", "calibration", "scores"]
    candidate: str
    task: str
    x: list[float]
    y: list[float]
    low: list[float] = []
    high: list[float] = []
    rows: list[int] = []


class PolicyValue(_Part):
    """What the log says that a policy, which chooses in each request by a formula over the task scores, would earn a request.

    effective_rows: (sum of weights)^2 / sum of their squares. clipped: share of the weighted rows whose weight was above `clip`.
    temperature: 0 where the policy chooses the highest value, else that of its softmax. difference, difference_low, difference_high: to
    the baseline's policy by the same formula, with its 95 % interval; NaN for the baseline.
    """

    candidate: str
    formula: str
    reward: str
    estimator: Estimator
    value: float
    low: float
    high: float
    effective_rows: float
    clipped: float
    clip: float = math.inf
    temperature: float = 0.0
    requests: int = 0
    difference: float = math.nan
    difference_low: float = math.nan
    difference_high: float = math.nan


class TradeOff(_Part):
    """A formula's place among objectives: by `TASK/METRIC`, the metric when rows are ranked by the formula alone. Higher is better."""

    candidate: str
    formula: str
    values: dict[str, float]
    on_front: bool


class Recommendation(_Part):
    """The overall verdict on a candidate, by `rule`, in words."""

    candidate: str
    verdict: Verdict
    recommendation: Literal["promote", "keep the baseline", "gather more evidence"]
    rule: str
    words: str
    tasks: dict[str, Verdict]


class Comparison(_Part):
    """One evaluation of candidates against a baseline on the same rows."""

    command: str
    created: str
    seconds: float
    versions: dict[str, str]
    data: Data
    baseline: str
    candidates: list[Candidate]
    tasks: list[TaskSummary]
    estimates: list[Estimate]
    differences: list[Difference]
    seeds: list[SeedSpread] = []
    curves: list[Curve] = []
    policies: list[PolicyValue] = []
    trade_offs: list[TradeOff] = []
    recommendations: list[Recommendation] = []
    warnings: list[str] = []

    def save(self, path: Path) -> None:
        """Write JSON (NaN and infinities as such)."""
        path.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Comparison:
        """Read what `save` wrote. Raises InputError when it is not that."""
        return read_model(cls, path, "not an evaluation's comparison", "; evaluate again")
