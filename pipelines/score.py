"""One rank of the scoring of `recsys evaluate`: `python -m pipelines.score REQUEST`, as torchrun's agent starts it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from recsys.quiet import quieten


def score_request(file: Path) -> None:
    """Score what the JSON `file` asks for, in this process or as one rank of several."""
    quieten()
    import os

    from rich.console import Console

    from recsys.offline.request import Request
    from recsys.offline.scoring import score

    score(Request.model_validate_json(file.read_text()), Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0"))


def worker() -> None:
    """A failure is left for the agent to tell, with exit code 2 for bad input."""
    from recsys.training.launcher import exit_code, report_failure

    try:
        score_request(Path(sys.argv[1]))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report_failure(error)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    worker()
