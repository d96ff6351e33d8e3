"""Comparisons for the page: measured on a small simulated log, so that their numbers hang together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recsys.evaluation.binary import binary_metrics
from recsys.evaluation.comparison import (
    Candidate,
    Comparison,
    Curve,
    Data,
    Difference,
    Estimate,
    PolicyValue,
    Recommendation,
    SeedSpread,
    Slice,
    TaskSummary,
    TradeOff,
    Verdict,
)
from recsys.evaluation.counterfactual import Reward, compare_policies
from recsys.evaluation.delong import compare_aucs
from recsys.evaluation.duration import duration_metrics
from recsys.evaluation.exposure import ExposureLog
from recsys.evaluation.formula import parse
from recsys.evaluation.intervals import Uncertain, minimum_detectable, rows_needed, uncertain
from recsys.evaluation.multiplicity import benjamini_hochberg, holm
from recsys.evaluation.trade_offs import Objective, trade_offs, weighted_products

ROWS, USERS, REQUEST = 12_000, 600, 5
HOSTILE = ["<script>alert('baseline')</script>", "\"><img src=x onerror=alert(1)> & 'größer' 模型 {{ 7 * 7 }} " + "w" * 90]
RULE = "Promote when no guardrail task is worse and at least one task is better, each beyond its margin."


@dataclass
class Log:
    """A log of K tasks, the last of which is a duration where there are three or more, and the candidates' scores (C, K, n)."""

    names: list[str]
    tasks: list[str]
    seed: int = 0

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.users = np.sort(random.integers(0, USERS, ROWS))
        self.hour, self.tab = (
            random.integers(0, 24, ROWS),
            random.choice(["home", "search", "related", "feed"], ROWS, p=[0.6, 0.2, 0.15, 0.05]),
        )
        taste = random.normal(size=(len(self.tasks), USERS))[:, self.users]
        self.truth = np.array([-1.4 + 0.7 * taste[task] + random.normal(0, 1, ROWS) for task in range(len(self.tasks))])
        self.labels, self.scores = [], np.empty((len(self.names), len(self.tasks), ROWS))
        for task, truth in enumerate(self.truth):
            seconds = np.where(random.random(ROWS) < 0.6, np.exp(truth + 2.5 + random.normal(0, 0.8, ROWS)), 0.0)
            self.labels.append(seconds if self.kind(task) == "duration" else random.random(ROWS) < _sigmoid(truth))
            for candidate in range(len(self.names)):
                noise = 1.1 - (0.12 * candidate if task % 2 == 0 else 0.01 * candidate)
                seen = 0.6 * (truth + noise * random.normal(size=ROWS)) - 0.5
                self.scores[candidate, task] = (
                    np.expm1(np.clip(0.5 * seen + 1.7, 0, 6)) if self.kind(task) == "duration" else _sigmoid(seen)
                )

    def kind(self, task: int) -> str:
        return "duration" if task >= 2 and task == len(self.tasks) - 1 else "binary"

    def metric(self, task: int) -> str:
        return "auc" if self.kind(task) == "binary" else "rmse_log1p"


def simulated(challengers: int = 1, tasks: list[str] | None = None, *, slices: bool = True, names: list[str] | None = None) -> Comparison:
    """A whole comparison of a baseline with some challengers."""
    strategies = ["equal", "emtl", "famo", "nash", "cagrad", "pcgrad"]
    names = names or strategies[: challengers + 1]
    log = Log(names, tasks or ["ctr", "cvr", "dwell"])
    where = [None, *(_slices(log) if slices else [])]
    differences = _corrected([part for place in where for part in _differences(log, place)])
    return Comparison(
        command="recsys evaluate runs:/0d3f7c runs:/9b1e44 --data data/kuairand/split=test --slices tab,hour --formula 'ctr^0.7 * cvr^0.3'",
        created="2026-03-02 14:05:11 UTC",
        seconds=83.4,
        versions={"recsys": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.9"},
        data=Data(
            paths=["data/kuairand/split=test"],
            rows=ROWS,
            group="user_id",
            groups=USERS,
            first_time="2022-05-07 00:00",
            last_time="2022-05-08 23:59",
            fingerprint="sha256:5f2b0c9d5be64a5b8a1e7a5a0d61a0b2",
        ),
        baseline=names[0],
        candidates=[_candidate(name, number) for number, name in enumerate(names)],
        tasks=[_summary(log, task) for task in range(len(log.tasks))],
        estimates=[part for place in where for part in _estimates(log, place)],
        differences=differences,
        seeds=_seeds(log, differences),
        curves=[curve for candidate in range(len(names)) for task in range(len(log.tasks)) for curve in _curves(log, candidate, task)],
        policies=_policies(log),
        trade_offs=_trade_offs(log),
        recommendations=[_recommendation(name, log, differences) for name in names[1:]],
        warnings=[
            "emtl: 1,204 of its evaluation rows lie before the end of its training range (2022-05-07 06:00); its figures may be flattered.",
            "Slice tab = feed has 38 positives of cvr: its interval is rough.",
        ],
    )


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _slices(log: Log) -> list[Slice]:
    return [Slice(column="tab", value=value) for value in np.unique(log.tab)] + [
        Slice(column="hour", value=str(hour)) for hour in range(24)
    ]


def _rows(log: Log, where: Slice | None) -> np.ndarray:
    if where is None:
        return np.ones(ROWS, bool)
    return (log.tab if where.column == "tab" else log.hour.astype(str)) == where.value


def _candidate(name: str, number: int) -> Candidate:
    return Candidate(
        name=name,
        spec=f"runs:/{number:06x}",
        kind="model",
        run_id=f"{number:032x}",
        strategy=name,
        architecture="mmoe",
        seed=0,
        step=3140,
        trained_on=["data/kuairand/split=train"],
    )


def _summary(log: Log, task: int) -> TaskSummary:
    binary, labels = log.kind(task) == "binary", np.asarray(log.labels[task], float)
    return TaskSummary(
        name=log.tasks[task],
        kind=log.kind(task),
        metric=log.metric(task),
        higher_is_better=binary,
        margin=0.002 if binary else 0.005,
        guardrail=task != 1,
        rows=ROWS,
        positives=int((labels > (0 if binary else 10)).sum()),
    )


def _metrics(log: Log, candidate: int, task: int, rows: np.ndarray) -> dict[str, float]:
    scores, labels = log.scores[candidate, task][rows], np.asarray(log.labels[task][rows], float)
    found = binary_metrics(scores, labels) if log.kind(task) == "binary" else duration_metrics(scores, labels, 10.0)
    return {name: value for name, value in found.items() if name not in ("rows", "positives")}


def _estimates(log: Log, where: Slice | None) -> list[Estimate]:
    rows, found = _rows(log, where), []
    for candidate, name in enumerate(log.names):
        for task, task_name in enumerate(log.tasks):
            for metric, value in _metrics(log, candidate, task, rows).items():
                if where and metric != log.metric(task):
                    continue
                half = 1.96 * value / math.sqrt(rows.sum())
                if metric == "auc" and log.kind(task) == "binary":
                    estimate = compare_aucs([log.scores[candidate, task][rows]], log.labels[task][rows], log.users[rows]).estimate(0)
                    half = (estimate.high - estimate.low) / 2
                positives = int((np.asarray(log.labels[task][rows], float) > (0 if log.kind(task) == "binary" else 10)).sum())
                found.append(
                    Estimate(
                        candidate=name,
                        task=task_name,
                        metric=metric,
                        slice=where,
                        value=value,
                        low=value - half,
                        high=value + half,
                        rows=int(rows.sum()),
                        positives=positives,
                        groups=np.unique(log.users[rows]).size,
                        left_out=17 if metric == "gauc" else 0,
                    )
                )
    return found


def _differences(log: Log, where: Slice | None) -> list[Difference]:
    rows, found = _rows(log, where), []
    for candidate, name in enumerate(log.names[1:], start=1):
        for task, task_name in enumerate(log.tasks):
            part = _difference(log, candidate, task, rows)
            found.append(
                Difference(
                    candidate=name,
                    task=task_name,
                    metric=log.metric(task),
                    slice=where,
                    difference=part.value,
                    low=part.low,
                    high=part.high,
                    p=part.p,
                    p_holm=1.0,
                    p_fdr=1.0,
                    method="delong" if log.kind(task) == "binary" else "bootstrap",
                    minimum_detectable=minimum_detectable(part.deviation),
                    rows_needed=rows_needed(int(rows.sum()), part.value, part.deviation),
                    verdict=_verdict(part, log, task),
                )
            )
    return found


def _difference(log: Log, candidate: int, task: int, rows: np.ndarray) -> Uncertain:
    scores, labels, users = log.scores[[candidate, 0], task][:, rows], log.labels[task][rows], log.users[rows]
    if log.kind(task) == "binary":
        return compare_aucs(list(scores), labels, users).difference(0, 1)
    squares = np.square(np.log1p(scores) - np.log1p(labels))
    roots = np.sqrt(squares.mean(1))
    linear = (squares[0] / roots[0] - squares[1] / roots[1]) / 2
    sums = np.bincount(users, linear - linear.mean())
    return uncertain(float(roots[0] - roots[1]), float(np.sqrt(np.square(sums).sum())) / rows.sum(), np.unique(users).size - 1)


def _verdict(part: Uncertain, log: Log, task: int) -> Verdict:
    margin = 0.002 if log.kind(task) == "binary" else 0.005
    low, high = (part.low, part.high) if log.kind(task) == "binary" else (-part.high, -part.low)
    return "better" if low > 0 else "worse" if high < -margin or high < 0 else "inconclusive"


def _corrected(parts: list[Difference]) -> list[Difference]:
    corrected = []
    for name in dict.fromkeys(part.candidate for part in parts):
        own = [part for part in parts if part.candidate == name]
        p = np.array([part.p for part in own])
        for part, by_holm, by_fdr in zip(own, holm(p), benjamini_hochberg(p), strict=True):
            corrected.append(part.model_copy(update={"p_holm": float(by_holm), "p_fdr": float(by_fdr)}))
    return corrected


def _seeds(log: Log, differences: list[Difference]) -> list[SeedSpread]:
    random, found = np.random.default_rng(1), []
    for part in differences:
        if part.slice is None:
            rows, seeds = part.minimum_detectable / 2.8, part.minimum_detectable / 4
            values = part.difference + random.normal(0, seeds, 5)
            half = 2.5 * math.hypot(rows, values.std(ddof=1) / math.sqrt(5))
            found.append(
                SeedSpread(
                    candidate=part.candidate,
                    task=part.task,
                    metric=part.metric,
                    seeds=list(range(5)),
                    differences=values.tolist(),
                    mean=values.mean(),
                    seeds_deviation=values.std(ddof=1),
                    rows_deviation=rows,
                    low=values.mean() - half,
                    high=values.mean() + half,
                )
            )
    return found


def _curves(log: Log, candidate: int, task: int) -> list[Curve]:
    scores, labels = log.scores[candidate, task], np.asarray(log.labels[task], float)
    order, who = np.argsort(scores), {"candidate": log.names[candidate], "task": log.tasks[task]}
    bins = np.array_split(order, 12)
    means = [labels[part].mean() for part in bins]
    half = [1.96 * labels[part].std() / math.sqrt(part.size) for part in bins]
    edges = np.linspace(0, 1 if log.kind(task) == "binary" else np.quantile(scores, 0.999), 31)
    shares = np.histogram(scores, edges)[0] / ROWS
    curves = [
        Curve(
            kind="calibration",
            **who,
            x=[float(scores[part].mean()) for part in bins],
            y=means,
            low=np.subtract(means, half).tolist(),
            high=np.add(means, half).tolist(),
            rows=[part.size for part in bins],
        ),
        Curve(kind="scores", **who, x=edges.tolist(), y=shares.tolist()),
    ]
    positive = labels[order[::-1]] > (0 if log.kind(task) == "binary" else 10)
    rates = [np.concatenate([[0], np.cumsum(part) / max(part.sum(), 1)])[:: ROWS // 120] for part in (~positive, positive)]
    return [*curves, Curve(kind="roc", **who, x=rates[0].tolist(), y=rates[1].tolist())]


def _policies(log: Log) -> list[PolicyValue]:
    random, requests = np.random.default_rng(2), np.arange(ROWS) // REQUEST
    chances = np.exp(0.5 * random.normal(size=(ROWS // REQUEST, REQUEST)))
    chances /= chances.sum(1, keepdims=True)
    shown = np.arange(REQUEST) == (random.random((ROWS // REQUEST, 1)) > np.cumsum(chances, 1)[:, :-1]).sum(1)[:, None]
    exposures = ExposureLog.of(requests, shown.ravel(), chances.ravel(), log.users[requests * REQUEST])
    scores = {name: dict(zip(log.tasks, log.scores[candidate], strict=True)) for candidate, name in enumerate(log.names)}
    reward = Reward(log.tasks[0], np.asarray(log.labels[0], float), {name: by_task[log.tasks[0]] for name, by_task in scores.items()})
    return compare_policies(exposures, parse(_formula(log), log.tasks), scores, reward, baseline=log.names[0], clip=10.0)


def _formula(log: Log) -> str:
    return " * ".join(f"{task}^{weight}" for task, weight in zip(log.tasks, (0.7, 0.3, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2), strict=False))


def _trade_offs(log: Log) -> list[TradeOff]:
    objectives = [Objective(name, log.kind(task), log.labels[task], np.ones(ROWS, bool)) for task, name in enumerate(log.tasks)]  # type: ignore[arg-type]
    texts = [*weighted_products(log.tasks, 4 if len(log.tasks) < 4 else 1), _formula(log)]
    formulas = [parse(text, log.tasks) for text in texts]
    by_candidate = {name: dict(zip(log.tasks, log.scores[number], strict=True)) for number, name in enumerate(log.names[:3])}
    return trade_offs(formulas, by_candidate, objectives)


def _recommendation(name: str, log: Log, differences: list[Difference]) -> Recommendation:
    said = {part.task: part.verdict for part in differences if part.candidate == name and part.slice is None}
    better, worse = ([task for task, verdict in said.items() if verdict == wanted] for wanted in ("better", "worse"))
    verdict: Verdict = "worse" if worse else "better" if better else "inconclusive"
    words = {
        "better": f"{name} is better than {log.names[0]} for {', '.join(better)} and worse for none.",
        "worse": f"{name} is worse than {log.names[0]} for {', '.join(worse)}.",
        "inconclusive": f"These rows don't show a difference between {name} and {log.names[0]}.",
    }[verdict]
    recommendation = {"better": "promote", "worse": "keep the baseline", "inconclusive": "gather more evidence"}[verdict]
    return Recommendation(candidate=name, verdict=verdict, recommendation=recommendation, rule=RULE, words=words, tasks=said)  # type: ignore[arg-type]
