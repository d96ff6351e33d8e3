"""Logs of requests with propensities, made from synthetic logs: what any policy would earn in them is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def with_requests(table: pa.Table, candidates: int, seed: int) -> pa.Table:
    """Rows of a synthetic log as candidates of requests: of each user's rows, in order, `candidates` make a request; the rest is dropped.

    Adds `request_id`, `shown` (one row a request, drawn by a softmax that prefers what is clicked, with noise) and `propensity`. A
    policy that chooses row i earns `p_click` of it on average.
    """
    table = table.sort_by([("user_id", "ascending"), ("time_ms", "ascending")])
    users = table["user_id"].to_numpy()
    place = np.arange(users.size) - np.searchsorted(users, users)
    whole = np.searchsorted(users, users, side="right") - np.searchsorted(users, users)
    table = table.filter(pa.array(place < whole // candidates * candidates))
    random = np.random.default_rng(seed)
    liking = table["p_click"].to_numpy().reshape(-1, candidates)
    chances = np.exp(2 * liking + random.normal(0, 0.7, liking.shape))
    chances /= chances.sum(1, keepdims=True)
    drawn = (random.random((len(liking), 1)) > np.cumsum(chances, 1)[:, :-1]).sum(1)
    columns = {
        "request_id": np.repeat(np.arange(len(liking)), candidates),
        "shown": (np.arange(candidates) == drawn[:, None]).ravel().astype(np.int8),
        "propensity": chances.ravel(),
    }
    for name, column in columns.items():
        table = table.append_column(name, pa.array(column))
    return table
