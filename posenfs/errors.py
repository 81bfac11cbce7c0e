"""Errors that a user can cause; the command line prints their message without a traceback."""


class PosenfsError(Exception):
    """Base class of the errors of posenfs.

    The message says what is wrong, the value, the file and the next step. A wrong argument raises
    ValueError instead.
    """
