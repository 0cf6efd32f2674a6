"""How every verb ends: exit codes that scripts may rely on. docs/cli.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from taskqueue.errors import (
    BrokerAccessError,
    BrokerUnavailableError,
    ConfigError,
    NotFoundError,
    RefusedError,
    StoreAccessError,
    StoreUnavailableError,
    TaskqueueError,
    UnauthorizedError,
    UnreachableError,
)


class ExitCode(IntEnum):
    """What an exit code says; a number never changes its meaning."""

    #: done, also when there was nothing to do
    DONE = 0
    #: failed, in part or as a whole; or, of a verb that checks: something was found
    FAILED = 1
    #: wrong usage or configuration; nothing was changed
    USAGE = 2
    #: what was named does not exist
    NOT_FOUND = 3
    #: nothing was done: it conflicts with what is there, or wants --yes or --force
    REFUSED = 4
    #: Redis, RabbitMQ or the API does not answer
    UNREACHABLE = 5
    #: a token or password is missing or wrong, or lacks the right
    UNAUTHORIZED = 6
    #: ended by Ctrl-C: 128 and the number of SIGINT
    INTERRUPTED = 130


#: the first one that fits counts
_CODES: Mapping[type[TaskqueueError], ExitCode] = {
    ConfigError: ExitCode.USAGE,
    NotFoundError: ExitCode.NOT_FOUND,
    RefusedError: ExitCode.REFUSED,
    BrokerAccessError: ExitCode.UNAUTHORIZED,
    StoreAccessError: ExitCode.UNAUTHORIZED,
    UnauthorizedError: ExitCode.UNAUTHORIZED,
    BrokerUnavailableError: ExitCode.UNREACHABLE,
    StoreUnavailableError: ExitCode.UNREACHABLE,
    UnreachableError: ExitCode.UNREACHABLE,
}


def exit_code_of(error: TaskqueueError) -> ExitCode:
    """Return how a verb ends that raised `error`."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.FAILED)
