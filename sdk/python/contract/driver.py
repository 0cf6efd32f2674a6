"""Drives the Python SDK for the contract of sdk/contract: one call a line comes in, one answer a line goes out.

With `--asyncio` it is the client for asyncio that is driven.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import AsyncIterable, Awaitable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from task_scheduler import ApiError, AsyncTaskSchedulerClient, TaskSchedulerClient

#: operations whose method has another name
_METHODS = {"list_executions": "get_executions"}
_INSTANTS = frozenset({"at", "next_execution_time", "timestamp"})


class Driver:
    """One client at a time, and what can be asked of it; `kind` is its class."""

    def __init__(self, kind: type[TaskSchedulerClient | AsyncTaskSchedulerClient], loop: asyncio.Runner) -> None:
        self._kind = kind
        self._loop = loop
        self._client = self._connected({})

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one line. Raises what the SDK raises."""
        if name == "connect":
            self.close()
            self._client = self._connected(arguments)
            return _valued(None)
        if name == "show_client":
            return _valued(f"{self._client!r} {self._client}")
        given = {key: _typed(key, value) for key, value in arguments.items()}
        result = self._loop.run(_result_of(getattr(self._client, _METHODS.get(name, name))(**given)))
        return _valued(list(result) if name.startswith("iterate_") else result)

    def close(self) -> None:
        """Close the client."""
        self._loop.run(_result_of(self._client.close()))

    def _connected(self, arguments: Mapping[str, Any]) -> TaskSchedulerClient | AsyncTaskSchedulerClient:
        given = {"base_url": os.environ["TASK_SCHEDULER_URL"], "api_key": os.environ["TASK_SCHEDULER_API_KEY"]}
        return self._kind(**{**given, **arguments})


async def _result_of(result: Any) -> Any:
    """Return what a method of either client gives: a value, or one that is still to come."""
    if isinstance(result, Awaitable):
        return await result
    return [item async for item in result] if isinstance(result, AsyncIterable) else result


def _typed(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return datetime.fromisoformat(value)
    if name in {"tasks", "logs"}:
        return [{key: _typed(key, member) for key, member in item.items()} for item in value]
    return value


def _valued(result: object) -> dict[str, Any]:
    first = result[0] if isinstance(result, list) and result else result
    return {"model": None if result is None else type(first).__name__, "value": _canonical(result)}


def _canonical(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$instant": value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    if is_dataclass(value):
        return {each.name: _canonical(getattr(value, each.name)) for each in fields(value)}
    return [_canonical(each) for each in value] if isinstance(value, list | tuple) else value


def _error(error: Exception) -> dict[str, Any]:
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    described: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "shown": shown}
    for name in ("status", "code", "title", "detail", "request_id", "retry_after"):
        described[name] = getattr(error, name, None)
    described["errors"] = _canonical(error.errors) or None if isinstance(error, ApiError) else None
    described["extensions"] = error.extensions if isinstance(error, ApiError) else {}
    return {"error": described}


def main() -> None:
    """Answer each line until there are no more."""
    kind = AsyncTaskSchedulerClient if "--asyncio" in sys.argv else TaskSchedulerClient
    with asyncio.Runner() as loop:
        driver = Driver(kind, loop)
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                said = driver.call(asked["call"], asked["arguments"])
            except Exception as error:  # noqa: BLE001  # whatever the SDK raises is the answer
                said = _error(error)
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
        driver.close()


if __name__ == "__main__":
    main()
