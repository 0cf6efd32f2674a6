"""The one line that a verb ends with when it cannot go on."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

from taskqueue.errors import BrokerAccessError, BrokerUnavailableError, StoreUnavailableError, TaskqueueError

_PACKAGE = Path(__file__).parents[1]

#: what to do where a service did not let us in, by the first one that fits
_REMEDIES: Mapping[type[TaskqueueError], str] = {
    BrokerAccessError: "check the user and password in queue.url of the settings file, or TASKQUEUE_QUEUE__URL",
    BrokerUnavailableError: "does it run there? The address is queue.url of the settings file, or TASKQUEUE_QUEUE__URL",
    StoreUnavailableError: (
        "does it run there? The address is redis.addresses of the settings file, or TASKQUEUE_REDIS__ADDRESSES"
    ),
}


def error_text(error: TaskqueueError) -> str:
    """Return what to print for `error`; where a service does not answer, with the setting that holds its address."""
    remedy = next((each for kind, each in _REMEDIES.items() if isinstance(error, kind)), None)
    return str(error) if remedy is None else f"{error}; {remedy}"


def unexpected_text(error: Exception) -> str:
    """Return one line about an error that is a mistake of ours, or of the system.

    The text of a foreign exception stays out of it, for it may hold a password; not so what the system says of a file.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _PACKAGE in Path(frame.filename).parents]
    place = f" in {Path(frames[-1].filename).relative_to(_PACKAGE.parent)}:{frames[-1].lineno}" if frames else ""
    said = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    kind = type(error).__name__
    return f"taskqueue: unexpected {kind}{said}{place}; with TASKQUEUE_DEBUG=1 it tells everything, for a report"


def debugging() -> bool:
    """Return whether TASKQUEUE_DEBUG asks for a traceback."""
    from taskqueue.config.settings import process_environment

    return process_environment().get("TASKQUEUE_DEBUG", "") not in {"", "0"}
