"""Secrets by reference: `${env:NAME}` and `${file:/path}` in a task's headers, resolved only at the call.

A definition in Redis, a message or a log never holds more than the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from taskqueue.errors import InvalidValueError

_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")
_MAX_FILE_BYTES = 64 * 1024


class References:
    """Resolves references against `environ` and the file system."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def resolve_all(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return `headers` with every reference replaced. Raises InvalidValueError naming the header and reference."""
        return {name: self._resolve(name, value) for name, value in headers.items()}

    def _resolve(self, header: str, value: str) -> str:
        if "${" not in value:
            return value
        resolved = _REFERENCE.sub(lambda match: self._value(header, match[1], match[2]), value)
        if not resolved.isascii() or not resolved.isprintable():
            raise InvalidValueError(
                f"header {header}: the value behind {value} has characters that no header can carry"
            )
        return resolved

    def _value(self, header: str, kind: str, name: str) -> str:
        if kind == "env":
            if name not in self._environ:
                raise InvalidValueError(f"header {header}: this worker has no environment variable {name}")
            return self._environ[name]
        try:
            with Path(name).open(encoding="utf-8") as file:
                return file.read(_MAX_FILE_BYTES).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidValueError(f"header {header}: file {name} cannot be read: {type(error).__name__}") from None
