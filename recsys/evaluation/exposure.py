"""A log of what was offered and what was shown of it, and policies that choose from what was offered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.errors import InputError
from recsys.evaluation.groups import group_codes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExposureLog:
    """Candidates of requests and which of them were shown, in order of requests.

    order: (n,) places that bring rows as they were given into this order. starts: (R,) first row of each request. shown: (n,) bool.
    propensity: (n,), 1 where not shown. clusters: (R,) codes of the requests' users.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    shown: NDArray[np.bool_]
    propensity: Floats
    clusters: NDArray[np.int64]

    @classmethod
    def of(cls, requests: ArrayLike, shown: ArrayLike, propensities: ArrayLike, users: ArrayLike | None = None) -> ExposureLog:
        """Read (n,) columns. `users`: by whom requests are taken together for intervals; each request by itself where None.

        Raises:
            InputError: a request or user is null, `shown` is neither 0 nor 1, a shown row's propensity isn't in (0, 1], a request has
                several users, or nothing was shown.
        """
        codes = _codes(requests, "requests")
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        exposed = _marks(shown)
        given = np.asarray(propensities, np.float64)
        wrong = np.flatnonzero(exposed & ~((given > 0) & (given <= 1)))
        if wrong.size:
            raise InputError(
                f"policies: the propensity of {wrong.size} of {np.count_nonzero(exposed)} shown rows is not in (0, 1], "
                f"first {given[wrong[0]]} in row {wrong[0]}; it is the probability with which the row was shown"
            )
        return cls(order, starts, exposed[order], np.where(exposed, given, 1.0)[order], _clusters(starts, order, users))

    @property
    def requests(self) -> int:
        """Number of requests."""
        return self.starts.size

    def sums(self, values: Floats) -> Floats:
        """(R,) sums over each request's rows."""
        return np.add.reduceat(values, self.starts)

    def spread(self, values: Floats) -> Floats:
        """(n,) each request's value, on its rows."""
        return np.repeat(values, np.diff(self.starts, append=self.order.size))


def choose_first(log: ExposureLog, values: Floats) -> Floats:
    """(n,) probabilities, in the log's order, of a policy that chooses each request's highest of (n,) `values`; ties share."""
    ordered = values[log.order]
    best = (ordered == log.spread(np.maximum.reduceat(ordered, log.starts))).astype(np.float64)
    return best / log.spread(log.sums(best))


def choose_softly(log: ExposureLog, values: Floats, temperature: float) -> Floats:
    """(n,) probabilities, in the log's order, proportional to exp(value / temperature) within each request.

    Raises:
        InputError: an infinite value.
    """
    ordered = values[log.order] / temperature
    if not np.isfinite(ordered).all():
        raise InputError(f"policies: {np.count_nonzero(~np.isfinite(ordered))} values of the formula are infinite, which no softmax takes")
    chances = np.exp(ordered - log.spread(np.maximum.reduceat(ordered, log.starts)))
    return chances / log.spread(log.sums(chances))


def choose(log: ExposureLog, values: Floats, temperature: float) -> Floats:
    """`choose_first` at temperature 0, else `choose_softly`."""
    return choose_softly(log, values, temperature) if temperature else choose_first(log, values)


def _clusters(starts: NDArray[np.int64], order: NDArray[np.int64], users: ArrayLike | None) -> NDArray[np.int64]:
    if users is None:
        return np.arange(starts.size)
    codes = _codes(users, "users")[order]
    lowest, highest = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
    mixed = np.count_nonzero(lowest != highest)
    if mixed:
        raise InputError(f"policies: {mixed} of {starts.size} requests have rows of several users; a request belongs to one")
    return np.unique(lowest, return_inverse=True)[1]


def _codes(values: ArrayLike, what: str) -> NDArray[np.int32]:
    try:
        return group_codes(values)
    except ValueError as error:
        raise InputError(f"policies: {what}: {error}") from error


def _marks(shown: ArrayLike) -> NDArray[np.bool_]:
    marks = np.asarray(shown)
    exposed = np.asarray(marks == 1)
    wrong = np.flatnonzero(~exposed & (marks != 0))
    if wrong.size:
        raise InputError(
            f"policies: what says that a row was shown is neither 0 nor 1 in {wrong.size} of {marks.size} rows, "
            f"first {marks[wrong[0]]} in row {wrong[0]}"
        )
    if not exposed.any():
        raise InputError("policies: no row of the log was shown, so no reward was seen; check the column that says what was shown")
    return exposed
