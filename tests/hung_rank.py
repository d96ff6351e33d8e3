"""A worker of a job of which rank 1 stops where it is, so that the others wait for it."""

from __future__ import annotations

import os
import signal
import sys

import torch.distributed as dist

from recsys.distributed import process_group
from recsys.training.launcher import exit_code, report_failure

if __name__ == "__main__":
    try:
        with process_group(timeout=3) as world:
            if world.rank == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            dist.barrier()
    except Exception as error:
        report_failure(error)
        sys.exit(exit_code(error))
