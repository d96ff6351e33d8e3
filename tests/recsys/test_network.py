"""What gloo says of the network, told in one line; two processes that really lose each other are in tests/faults."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from recsys.errors import InputError
from recsys.network import check_network, explain


def lose_each_other(rank: int, folder: str, closes: bool) -> None:
    """Rank 0 waits for a sum to which rank 1 adds nothing, because it sleeps or has ended; leaves what it was told."""
    store = dist.FileStore(f"{folder}/store", 2)
    os.environ["RANK"] = str(rank)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    dist.barrier()  # both are there, however long that took
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=2))
    if rank == 0:
        try:
            dist.all_reduce(torch.ones(1))
        except RuntimeError as error:
            meaning = explain(error, 2)
            Path(folder, "told").write_text(f"{type(meaning).__name__}: {meaning}")
        Path(folder, "over").touch()
        return
    while not closes and not Path(folder, "over").exists():
        time.sleep(0.05)
    os._exit(0)


@pytest.mark.parametrize(
    ("closes", "told"), [(True, "lost its connection to another rank at 127."), (False, "hears nothing more from another rank")]
)
def test_gloo_is_understood(tmp_path: Path, closes: bool, told: str) -> None:
    multiprocessing.spawn(lose_each_other, args=(str(tmp_path), closes), nprocs=2)
    text = (tmp_path / "told").read_text()
    assert text.startswith("PeerLost: rank 0 on ") and told in text and text.endswith("--resume goes on from the last checkpoint")


@pytest.mark.parametrize("text", ["CUDA out of memory", "[Errno 104] Connection reset by peer", "the size of tensor a (3) must match"])
def test_other_errors_are_not_the_networks(text: str) -> None:
    assert explain(RuntimeError(text), 600) is None


def test_a_name_that_leads_home_is_refused_where_there_are_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    for key, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "192.0.2.1"}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(InputError, match=r"by the address that its name 'localhost' leads to; .* GLOO_SOCKET_IFNAME \(here are .*lo"):
        check_network()
    for key, value in {"LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "GLOO_SOCKET_IFNAME": "lo"}.items():
        with monkeypatch.context() as other:
            other.setenv(key, value)
            check_network()
