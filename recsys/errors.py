"""Errors that are told in a line, without a traceback."""


class InputError(Exception):
    """Bad input: one line that says what is wrong, where, and how to mend it.

    The command line prints the message and ends with exit code 2.
    """


class JobError(Exception):
    """A job that had to stop, and why, in one line. The command line prints the message and ends with exit code 1."""


class Stopped(Exception):
    """A job that was told to stop and can go on later. The command line prints the message and ends with exit code 75 (EX_TEMPFAIL)."""


class PeerLost(JobError):
    """A rank that can't hear the others any more. Each rank knows its own side of it alone."""
