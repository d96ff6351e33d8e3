"""The hidden truth behind a synthetic log: users, items, and the probability of each outcome of an impression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SEGMENTS = 8
CATEGORIES = 16
TAGS = 50
TAGS_OF_AN_ITEM = 3
FACTORS = 4
SURFACES = ("home", "search", "related")
DEVICES = ("ios", "android", "web", "tv")
POSITIONS = 10
DWELL_SPREAD = 0.8  # deviation of log dwell seconds around its mean
GAIN = 1.25  # of all effects on clicks and conversions; sets the best AUC to about 0.80

_SURFACE_EFFECT = np.array([0.0, 0.6, -0.4], np.float32)
_DEVICE_EFFECT = np.array([0.2, 0.0, -0.2, -0.6], np.float32)
_HOUR_EFFECT = 0.3 * np.sin(2 * np.pi * (np.arange(24) - 14) / 24).astype(np.float32)


@dataclass(frozen=True)
class Impressions:
    """Who saw what where: (B,) indices each; device -1 is an unknown one."""

    user: Ints
    item: Ints
    surface: Ints
    device: Ints
    position: Ints
    hour: Ints


@dataclass(frozen=True)
class Truth:
    """(B,) each: probabilities of a click, of a conversion given a click, and of a dwell time above 0; means of log dwell seconds.

    The last two have one value without and one with a click, (B, 2).
    """

    click: Floats
    conversion: Floats
    dwell_positive: Floats
    log_dwell: Floats


class World:
    """Users and items with latent factors, drawn from a seed.

    A user's taste is that of a segment plus a part of its own; an item's factors are those of its category plus a part of its own. What
    draws clicks and what makes for conversions are mildly opposed, so that the tasks compete for shared parameters.
    """

    def __init__(self, users: int, items: int, seed: int) -> None:
        random = np.random.default_rng([seed, 0])

        def normal(*shape: int) -> Floats:
            return random.standard_normal(shape, np.float32)

        self.segment = random.integers(0, SEGMENTS, users, np.int32)
        self.taste = normal(SEGMENTS, FACTORS)[self.segment] + 0.4 * normal(users, FACTORS)
        self.age = np.clip(38 + 12 * normal(users), 16, 90).round()
        self.age[random.random(users) < 0.1] = np.nan
        self.user_effect = 0.5 * normal(users, 3)

        authors = max(items // 10, 1)
        self.category = np.minimum(CATEGORIES * random.random(items) ** 1.5, CATEGORIES - 1).astype(np.int32)
        self.author = np.minimum(authors * random.random(items) ** 1.5, authors - 1).astype(np.int32)
        self.factors = normal(CATEGORIES, FACTORS)[self.category] + 0.4 * normal(items, FACTORS)
        self.buying_factors = normal(CATEGORIES, FACTORS)[self.category] + 0.4 * normal(items, FACTORS)
        self.tags = _tags(random, items)
        self.price = np.exp(3 + 0.8 * normal(items))
        self.seconds = np.exp(3.2 + 0.7 * normal(items))
        appeal = 0.4 * normal(authors)[self.author] + 0.3 * normal(TAGS)[self.tags[:, 0]] + 0.4 * normal(items)
        self.item_effect = np.stack([appeal, -0.5 * appeal + 0.3 * normal(items), 0.4 * appeal + 0.3 * normal(items)], 1)

    def truth(self, seen: Impressions) -> Truth:
        """The probabilities of what may follow each impression."""
        user, item = self.user_effect[seen.user], self.item_effect[seen.item]
        taste = self.taste[seen.user]
        liking = np.einsum("bf,bf->b", taste, self.factors[seen.item]) / FACTORS
        buying = np.einsum("bf,bf->b", taste, self.buying_factors[seen.item]) / FACTORS
        place = _SURFACE_EFFECT[seen.surface] + np.where(seen.device < 0, 0, _DEVICE_EFFECT[seen.device])
        click = -1.2 + GAIN * (user[:, 0] + item[:, 0] + liking + place + _HOUR_EFFECT[seen.hour] - 0.12 * seen.position)
        dear = np.log(self.price[seen.item]) - 3
        conversion = -2.3 + GAIN * (0.6 * user[:, 1] + item[:, 1] + 1.2 * buying - 0.8 * dear + 0.4 * place)
        watch = 0.4 * liking + 0.6 * user[:, 2] + item[:, 2]
        stays = _sigmoid(watch[:, None] + np.array([-0.8, 2.5], np.float32))
        log_dwell = 0.6 * np.log(self.seconds[seen.item])[:, None] + watch[:, None] * 0.5 + np.array([-0.8, 0.6], np.float32)
        return Truth(_sigmoid(click), _sigmoid(conversion), stays, log_dwell)


def expected_log1p_dwell(truth: Truth) -> Floats:
    """(B,) mean of log(1 + dwell seconds), clicks unknown: the best answer under squared error of the logarithm.

    The mean over the log-normal part is by Gauss-Hermite quadrature with 7 nodes, exact to about 1e-5.
    """
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(7)
    positive = np.zeros_like(truth.log_dwell)
    for node, weight in zip(nodes, node_weights / node_weights.sum(), strict=True):
        positive += np.float32(weight) * np.log1p(np.exp(truth.log_dwell + np.float32(DWELL_SPREAD * node)))
    chance = np.stack([1 - truth.click, truth.click], 1) * truth.dwell_positive
    return (chance * positive).sum(1)


def _tags(random: np.random.Generator, items: int) -> Ints:
    """(items, 3) tags, -1 where an item has fewer."""
    tags = np.minimum(TAGS * random.random((items, TAGS_OF_AN_ITEM)) ** 1.5, TAGS - 1).astype(np.int32)
    number = random.integers(1, TAGS_OF_AN_ITEM + 1, items)
    return np.where(np.arange(TAGS_OF_AN_ITEM) < number[:, None], tags, np.int32(-1))


def _sigmoid(x: Floats) -> Floats:
    return (1 / (1 + np.exp(-x))).astype(np.float32)
