"""How the C library keeps memory for this process."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
LARGEST = 2**31 - 1  # bytes; an int


def keep_freed_memory() -> None:
    """Let freed memory stay with the process for its next step.

    A step frees all of its activations and the next one asks for the same again. As it comes, glibc gives large blocks back to the kernel
    at once, which has to clear and map every page anew: a quarter of the processor time of a step on 2 ranks. Other C libraries have no
    such setting and are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, LARGEST)
