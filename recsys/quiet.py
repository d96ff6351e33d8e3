"""Settings of a process that must come before torch."""

from __future__ import annotations

import logging
import os
import warnings


def quieten() -> None:
    """Let threads wait without spinning, and keep torch and torchrec from telling what nobody here could mend."""
    # With the default, threads of a parallel region spin while they wait: with other work on the cores a step takes 40 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torchrec and torch announce to each other what will change in later versions; ours are pinned.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for name in ("torchrec", "torch.fx._symbolic_trace"):
        logging.getLogger(name).setLevel(logging.ERROR)
