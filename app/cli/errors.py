"""How a command fails: what went wrong, what to do next, and the exit status that scripts can rely on."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of all commands."""

    OK = 0
    FAILED = 1  # it was tried and did not come out well (a check that failed, a wait that timed out)
    USAGE = 2  # wrong options or settings; nothing was tried
    UNREACHABLE = 3  # nothing listens at the URL
    REFUSED = 4  # the service refused the request (4xx): not found, not allowed, not possible in this status
    SERVICE = 5  # the service could not do it (5xx)
    INTERRUPTED = 130  # Ctrl-C


class CliError(Exception):
    """Ends a command. `hint` is the next step to take, in one sentence; `code` the service's own error code."""

    def __init__(self, message: str, *, hint: str = "", status: Exit = Exit.FAILED, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status
        self.code = code
