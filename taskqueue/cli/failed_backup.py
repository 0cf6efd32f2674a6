"""Messages of the failed queue in a file, as JSON lines, before they are dropped."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from taskqueue.broker.failed import FailedMessage
from taskqueue.cli.failed_view import plain
from taskqueue.core.failures import Failure
from taskqueue.errors import ConfigError

#: payloads are about users: nobody else on this host may read them
_MODE = 0o600


class Backup:
    """One line for each message: `body` (base64), `message_id`, `headers`, and `failure`, which is what they mean."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator[Self]:
        """Make the file for a while; where an error ends that before anything is in it, it goes again.

        Raises ConfigError where there is one already, or none can be made.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        except OSError as error:
            raise ConfigError(f"--save {path}: {error.strerror}; name a new file in a directory of yours") from None
        file = os.fdopen(descriptor, "wb")
        try:
            yield cls(path, file)
        except BaseException:
            with suppress(OSError):
                # It writes what is left, and says once more what a full disk has said already.
                file.close()
            with suppress(OSError):
                # Else the same command, given again, would find the file and refuse.
                if path.stat().st_size == 0:
                    path.unlink()
            raise
        file.close()

    def write(self, message: FailedMessage, failure: Failure) -> None:
        """Write one line; it is safe only after `sync`. Raises ConfigError when the disk takes no more."""
        document = {
            "body": base64.b64encode(message.body).decode(),
            "message_id": message.message_id,
            "headers": plain(dict(message.headers)),
            "failure": failure.as_dict(),
        }
        with self._told_errors():
            self._file.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> None:
        """Return when the disk has what was written. Raises ConfigError when it does not take it."""
        with self._told_errors():
            self._file.flush()
            os.fsync(self._file.fileno())

    @contextmanager
    def _told_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"--save {self._path}: {error.strerror}; what is not in it is still in the queue"
            ) from None
