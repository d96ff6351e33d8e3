from __future__ import annotations

import math
import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from recsys.config import BinaryTask, DurationTask
from recsys.evaluation.binary import auc, log_loss
from recsys.evaluation.collector import Collector, mean_auc
from recsys.evaluation.duration import xauc
from recsys.evaluation.names import metric_names

TASKS = (
    BinaryTask(kind="binary", name="ctr", label="click"),
    BinaryTask(kind="binary", name="cvr", label="buy", space="click"),
    DurationTask(kind="duration", name="dwell", label="seconds"),
)
ROWS = 5_000


def made_rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    predictions = random.random((ROWS, 3)).astype(np.float32)
    predictions[:, 2] = np.round(np.exp(3 * predictions[:, 2]), 1)
    labels = (random.random((ROWS, 3)) < predictions).astype(np.float32)
    labels[:, 2] = np.floor(predictions[:, 2] * random.random(ROWS) * 4)
    masks = random.random((ROWS, 3)) < [1.0, 0.3, 0.6]
    labels[~masks] = 0
    return torch.from_numpy(predictions), torch.from_numpy(labels), torch.from_numpy(masks)


def collected(rows: slice, batch: int = 700) -> Collector:
    collector = Collector(TASKS)
    parts = [part[rows.start : rows.stop] for part in made_rows()]
    for start in range(0, len(parts[0]), batch):
        collector.add(*(part[start : start + batch] for part in parts))
    return collector


SPREADS = {"uneven": [1_234, 1_240, ROWS], "an empty rank": [17, 17, ROWS], "all on the last": [0, 0, ROWS]}


def share(rank: int, ends: list[int]) -> Collector:
    return collected(slice(ends[rank - 1] if rank else 0, ends[rank]))


def run_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(str(folder / "store"), 3)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=3, timeout=timedelta(seconds=60))
    found: dict[str, object] = {name: share(rank, ends).compute() for name, ends in SPREADS.items()}
    last_two = dist.new_group([1, 2])
    if rank:
        found["subgroup"] = share(rank - 1, [1_000, ROWS]).compute(last_two)
    with_nan = share(rank, [100, 200, ROWS])
    if rank == 2:
        with_nan.add(torch.full((2, 3), math.nan), torch.zeros(2, 3), torch.tensor([[True, False, False]] * 2))
    try:
        with_nan.compute()
    except ValueError as error:
        found["error"] = str(error)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_any_spread_over_ranks_gives_the_one_process_result_exactly_and_nan_is_raised_on_all(tmp_path: Path) -> None:
    expected = collected(slice(0, ROWS)).compute()
    assert list(expected) == metric_names(TASKS)
    multiprocessing.spawn(run_rank, (tmp_path,), nprocs=3)
    for rank in range(3):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("error") == f"task ctr: 2 of {ROWS + 2} predictions are NaN"
        assert set(found) == set(SPREADS) | ({"subgroup"} if rank else set())
        assert all(metrics == expected for metrics in found.values())


def test_only_rows_with_a_label_count() -> None:
    predictions, labels, masks = (part.numpy() for part in made_rows())
    metrics = collected(slice(0, ROWS)).compute()
    for task, name in enumerate(("ctr", "cvr", "dwell")):
        assert metrics[f"{name}/rows"] == masks[:, task].sum() < ROWS + (task == 0)
    buys = masks[:, 1]
    assert metrics["cvr/auc"] == auc(predictions[buys, 1], labels[buys, 1])
    assert metrics["cvr/log_loss"] == pytest.approx(log_loss(predictions[buys, 1], labels[buys, 1]), rel=1e-12)
    stays = masks[:, 2]
    assert metrics["dwell/xauc"] == xauc(predictions[stays, 2], labels[stays, 2])
    assert metrics["dwell/positives"] == (labels[stays, 2] > 10).sum() > 0


def test_batches_and_order_of_rows_do_not_matter() -> None:
    assert collected(slice(0, ROWS), batch=31).compute() == collected(slice(0, ROWS), batch=ROWS).compute()
    shuffled = Collector(TASKS)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    shuffled.add(*(part[order] for part in made_rows()))
    assert shuffled.compute() == collected(slice(0, ROWS)).compute()


def test_without_rows_everything_is_nan_but_the_counts() -> None:
    metrics = Collector(TASKS).compute()
    assert list(metrics) == metric_names(TASKS)
    assert all(value == 0 if name.endswith(("rows", "positives")) else math.isnan(value) for name, value in metrics.items())


def test_mean_auc_leaves_out_what_is_nan() -> None:
    assert mean_auc({"a/auc": 0.6, "b/auc": math.nan, "c/auc": 0.8, "c/xauc": 0.1}) == pytest.approx(0.7)
    assert math.isnan(mean_auc({"a/auc": math.nan}))
