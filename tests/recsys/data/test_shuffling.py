"""How well an epoch is mixed, on a log in the order of its days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from reading import data_config, numbered_reader, row_numbers, write_numbered

DAYS, DAY, GROUP, BATCH, EPOCHS = 10, 8_000, 2_000, 400, 6


def measured(folder: Path, streams: int, shuffle: bool) -> dict[str, float]:
    """Means over epochs and batches: correlation of place in the log and place in the epoch; displacement, as a share of the epoch (1/3 if
    random); share of a batch that comes from its commonest row group; distance (total variation) of a batch's days from the log's."""
    config = data_config(batch_size=BATCH, streams=streams, window=4_000)
    reader = numbered_reader(folder, config=config, shuffle=shuffle, seed=1)
    found = []
    for epoch in range(EPOCHS):
        batches = [np.array(row_numbers(batch)) for batch in reader.epoch(epoch)]
        order, place = np.concatenate(batches), np.arange(DAYS * DAY)
        groups = [np.bincount(batch // GROUP).max() / len(batch) for batch in batches]
        days = [np.abs(np.bincount(batch // DAY, minlength=DAYS) / len(batch) - 1 / DAYS).sum() / 2 for batch in batches]
        found.append((np.corrcoef(place, order)[0, 1], np.abs(order - place).mean() / len(order), np.mean(groups), np.mean(days)))
    return dict(zip(("correlation", "displacement", "row group", "days"), np.mean(found, 0).tolist(), strict=True))


def test_an_epoch_is_mixed_and_a_sequential_one_would_fail(tmp_path: Path) -> None:
    write_numbered(tmp_path, [DAY] * DAYS, GROUP)
    mixed, sequential = measured(tmp_path, 8, True), measured(tmp_path, 1, False)
    print(mixed, sequential)
    assert abs(mixed["correlation"]) < 0.25 < 0.99 < sequential["correlation"]
    assert abs(mixed["displacement"] - 1 / 3) < 0.05 < 1 / 3 - sequential["displacement"]
    assert mixed["row group"] < 0.2 < sequential["row group"]
    assert mixed["days"] < 0.4 < sequential["days"]
