"""`python -m recsys.launch.torchrun`: torchrun that ends with one line and an exit code by which a scheduler can tell what to do next.

It doesn't start workers again that ended with bad input: they would end with it again.
"""

from __future__ import annotations

import sys

from recsys.errors import JobError, Stopped


def main() -> None:
    """Run torchrun with this process's arguments.

    torchrun itself ends with 1 and a traceback whatever its workers ended with. Here it is what the worker that failed first said, and the
    exit code of that: 2 for bad input, 75 for a job that can go on, else 1. So it is for machines that didn't find each other.
    """
    from torch.distributed.launcher import api
    from torch.distributed.run import parse_args, run

    from recsys.launch.elastic import Agent
    from recsys.training.launcher import exit_code, headline, silence_agent

    vars(api)["LocalElasticAgent"] = Agent  # torchrun has no option for another one
    options = parse_args(None)
    silence_agent()  # what it would say of a failure is said below
    try:
        run(options)
    except Exception as error:
        told = _told(error, options.rdzv_endpoint, options.nnodes)
        if told is None:
            raise
        print(f"{headline(told)}: {told}", file=sys.stderr)
        sys.exit(exit_code(told))


def _told(error: Exception, endpoint: str, machines: str) -> Exception | None:
    """What to tell of an error of torchrun's; None where that is not known."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError, RendezvousTimeoutError

    from recsys.training.launcher import cause_of

    if isinstance(error, ChildFailedError):
        return cause_of(error.failures)
    if isinstance(error, SignalException):
        return Stopped(f"by {error.sigval.name}; started again it goes on from the last checkpoint")
    if isinstance(error, RendezvousTimeoutError):
        return JobError(f"of {machines} machines not all came to {endpoint} in time; look at what the others say")
    if isinstance(error, RendezvousConnectionError):
        return JobError(
            f"{endpoint} can't be reached: the first machine isn't up, its name isn't known here, the port is closed or another program's"
        )
    return None


if __name__ == "__main__":
    main()
