"""One look at a file that may be anything by now: it takes no more than a configuration file may have.

Opening a pipe waits for whoever writes to it, and a device may never end: only regular files are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from taskqueue.config.yaml_source import MAX_BYTES
from taskqueue.errors import ConfigError

#: Which file it is and in which state. The time of its last change is among it, which nobody can set: a copy that keeps
#: size and time of what it replaces is seen.
Signature = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLook:
    """What stood in a file, one byte more than allowed where it is too large, and the signature it had then."""

    signature: Signature
    content: bytes = field(repr=False)


def look_at(path: Path) -> FileLook:
    """Return what stands at `path`, links followed.

    Raises ConfigError when it cannot be read or is no regular file. A file system that does not answer does hold it up:
    call it in a thread.
    """
    with _told(path):
        _signature(path.stat(), path)  # a device may notice that it is opened
        # What stands there may have become a pipe or a directory since: neither is waited for, nor left open.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            signature = _signature(os.fstat(descriptor), path)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return FileLook(signature=signature, content=file.read(MAX_BYTES + 1))
        finally:
            os.close(descriptor)


def look_again(path: Path, known: Signature | None) -> FileLook | None:
    """Return what stands at `path`, or None where its signature is still `known`. Raises as look_at."""
    with _told(path):
        unchanged = known is not None and _signature(path.stat(), path) == known
    return None if unchanged else look_at(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ConfigError(f"{path}: cannot be read: {reason}; check the path and its permissions") from None


def _signature(status: os.stat_result, path: Path) -> Signature:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path}: not a regular file; put the file itself there, or a link to it")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
