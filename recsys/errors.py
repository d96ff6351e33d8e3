"""The one exception for input that a person can mend."""


class InputError(Exception):
    """Bad input: one line that says what is wrong, where, and how to mend it.

    The command line prints the message without a traceback and ends with exit code 2.
    """
