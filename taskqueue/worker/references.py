"""Secrets by reference: `${env:NAME}` and `${file:/path}` in a task's call, resolved only then.

A definition in Redis, a message or a log never holds more than the reference.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from taskqueue.core.reference import REFERENCE
from taskqueue.errors import InvalidValueError

#: the longest secret in a file
MAX_FILE_BYTES = 64 * 1024

#: a file that looks unchanged is read again after so long all the same, since the clock of files ticks in milliseconds;
#: and one that cannot be read is taken for one that is just being written, for so long
_TRUSTED_FOR_S = 5.0

#: files that are kept in memory; a task names one or two
_MOST_FILES = 256

#: what changes when a file does
_Signature = tuple[int, int, int, int]


@dataclass(slots=True, kw_only=True)
class _Known:
    """What a file held when it was read. Both instants are of the monotonic clock."""

    text: str = field(repr=False)
    signature: _Signature
    read_at: float
    #: when it was last found to be in order
    seen_at: float


class References:
    """Resolves references against `environ` and the file system; `monotonic` is a clock in seconds.

    A file is looked at for each call, and read when it has changed or was not read for some seconds.
    """

    def __init__(self, environ: Mapping[str, str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._environ = environ
        self._monotonic = monotonic
        self._files: dict[str, _Known] = {}

    def resolve_all(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return `headers` with every reference replaced. Raises InvalidValueError naming the header and reference."""
        return {name: self._in_header(name, value) if "${" in value else value for name, value in headers.items()}

    def value(self, place: str, reference: str) -> str:
        """Return what `reference`, one whole `${…}` of a task's `place`, stands for; it never is nothing.

        Raises InvalidValueError with the place and the reference, and never the value.
        """
        kind, _, name = reference[2:-1].partition(":")
        try:
            return self._variable(name) if kind == "env" else self._file(name)
        except InvalidValueError as error:
            raise InvalidValueError(f"{place}: {error}") from None

    def _in_header(self, header: str, value: str) -> str:
        place = f"header {header}"
        resolved = REFERENCE.sub(lambda match: self.value(place, match[0]), value)
        if not resolved.isascii() or not resolved.isprintable():
            raise InvalidValueError(f"{place}: the value behind {value} has characters that no header can carry")
        return resolved

    def _variable(self, name: str) -> str:
        value = self._environ.get(name)
        if not value:
            problem = "no environment variable" if value is None else "an empty environment variable"
            raise InvalidValueError(f"this worker has {problem} {name}; set it and start the worker anew")
        return value

    def _file(self, name: str) -> str:
        now = self._monotonic()
        known = self._files.get(name)
        try:
            signature = _signature_of(name)
            if known is None or known.signature != signature or not 0 <= now - known.read_at < _TRUSTED_FOR_S:
                text = _text_of(name)
                if known is None and len(self._files) >= _MOST_FILES:
                    self._files.clear()
                known = self._files[name] = _Known(text=text, signature=signature, read_at=now, seen_at=now)
        except InvalidValueError:
            # Whoever writes a secret in place empties it first: no job should fail for that moment.
            if known is None or now - known.seen_at >= _TRUSTED_FOR_S:
                raise
        else:
            known.seen_at = now
        return known.text


def _signature_of(name: str) -> _Signature:
    """Return what tells whether the file has changed. Raises InvalidValueError where it is none that can be read."""
    try:
        status = Path(name).stat()
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    # A pipe or a device would be read for ever.
    if not stat.S_ISREG(status.st_mode):
        raise InvalidValueError(f"{name} is no regular file; name one")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _text_of(name: str) -> str:
    """Return what the file holds, without the line ends at its end. Raises InvalidValueError."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    if not text or len(content) > MAX_FILE_BYTES:
        raise InvalidValueError(f"file {name} is empty, or has more than {MAX_FILE_BYTES} bytes; give it one secret")
    return text


def _unreadable(name: str, error: Exception) -> InvalidValueError:
    # The text of a decoding error would quote the secret.
    return InvalidValueError(f"file {name} cannot be read: {type(error).__name__}; see that the worker may read it")
