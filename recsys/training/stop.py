"""Signals that tell a job to stop and to go on later."""

from __future__ import annotations

import signal
from types import FrameType

from recsys.errors import Stopped

# SIGTERM: agents, schedulers and container engines that end a job. SIGUSR1: schedulers that warn of the end of its time.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# What torchrun's agent hands on to its workers: these, and those that it does by itself.
AGENT_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"


class Stop:
    """Whether this process was told to stop.

    Before the first step nothing can be saved: the signal ends the process at once. From then on it is noted, goes over all ranks with
    the next step's numbers, and all of them stop after the same step.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._waits = False

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._signal is not None

    @property
    def told(self) -> str:
        """Who stopped the process: the signal, or another rank."""
        return f"by {self._signal.name}" if self._signal else "with another rank"

    def listen(self) -> None:
        """Take the signals from now on."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def wait_for_step(self) -> None:
        """From now on a signal waits for the end of the step."""
        self._waits = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        first, self._signal = not self.asked, signal.Signals(number)
        if first and not self._waits:
            raise Stopped(f"{self.told} before its first step; nothing is lost")
