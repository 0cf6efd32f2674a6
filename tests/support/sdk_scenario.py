"""sdk/contract/scenario.yaml: its steps, and what a driver has to answer to each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from tests.support.sdk_drivers import Driver
from tests.support.sdk_programs import SDK
from tests.support.sdk_recorder import Exchange, Recorder
from tests.support.sdk_schema import differences, error_differences, member_schema, operation_of, same, schema_of
from tests.support.sdk_sent import unsent, unsent_pages

_FILE: Path = SDK / "contract" / "scenario.yaml"
_REFERENCE = re.compile(r"\{\{([\w.]+)\}\}")

#: where the items of a page are, for what iterates over pages
_ITEMS = {"iterate_tasks": "tasks", "iterate_executions": "executions"}

Step = Mapping[str, Any]

STEPS: tuple[Step, ...] = tuple(yaml.safe_load(_FILE.read_text(encoding="utf-8")))


@dataclass(slots=True, kw_only=True)
class Run:
    """One SDK's way through the scenario. `saved` has the values that steps have kept, `keys` whose key is which."""

    driver: Driver
    recorder: Recorder
    keys: Mapping[str, str]
    saved: dict[str, Any]
    reached: set[str] = field(default_factory=set)

    @property
    def doubles(self) -> bool:
        """Whether the language has no numbers but doubles."""
        return self.driver.language == "javascript"

    async def take(self, step: Step) -> list[str]:
        """Take a step, and return what was wrong with it."""
        if "as" in step:
            await self.driver.call("connect", api_key=self.keys[step["as"]])
        before = len(self.recorder.exchanges)
        try:
            arguments = self._filled(step["arguments"])
        except KeyError as error:
            return [f"a step before it has not saved {error}"]
        answer = await self.driver.call(step["call"], **arguments)
        exchanges = self.recorder.exchanges[before:]
        self.reached.update(map(operation_of, exchanges))
        if "as" in step:
            await self.driver.call("connect")
        sent = self._sent(step["call"], arguments, answer.get("value"), exchanges)
        return [*sent, *self._judged(step, answer, exchanges)]

    def _sent(self, call: str, arguments: Mapping[str, Any], value: Any, exchanges: list[Exchange]) -> Iterator[str]:
        for exchange in exchanges:
            yield from unsent(arguments, exchange, doubles=self.doubles)
        if call in _ITEMS and isinstance(value, list):
            yield from unsent_pages(arguments, len(value), exchanges)

    def _judged(self, step: Step, answer: dict[str, Any], exchanges: list[Exchange]) -> Iterator[str]:
        if not exchanges:
            yield f"nothing was sent, and the answer is {str(answer)[:2000]}"
        elif "error" in step:
            yield from self._judged_error(step, answer.get("error") or {}, exchanges[-1])
        elif "error" in answer:
            yield answer["error"]["message"]
        else:
            if "save" in step:
                self.saved[step["save"]] = answer["value"]
            yield from self._decoded(step["call"], answer["value"], exchanges)
            for place, other in self._filled(step.get("differs", {})).items():
                if _at(place, answer["value"]) == other:
                    yield f"{place}: {other!r}, as before"
            if "expect" in step:
                yield from self._unexpected(self._filled(step["expect"]), answer["value"], "")

    def _judged_error(self, step: Step, error: dict[str, Any], exchange: Exchange) -> Iterator[str]:
        yield from self._unexpected(step["error"], error, "error")
        if exchange.status >= 400:
            yield from error_differences(exchange, error)
        if not error.get("message"):
            yield "error/message: there is none"

    def _decoded(self, call: str, value: Any, exchanges: list[Exchange]) -> Iterator[str]:
        last = exchanges[-1]
        schema = schema_of(last)
        if schema is None:
            if value is not None:
                yield f"{value!r}, and the answer has no body"
        elif call in _ITEMS:
            pages = [json.loads(exchange.body)[_ITEMS[call]] for exchange in exchanges]
            items = member_schema(schema, _ITEMS[call])
            yield from differences(items, list(chain.from_iterable(pages)), value, doubles=self.doubles)
        else:
            raw = json.loads(last.body)
            yield from differences(schema, raw, value, etag=last.headers.get("etag"), doubles=self.doubles)

    def _unexpected(self, expected: Any, value: Any, place: str) -> Iterator[str]:
        """Yield where a value lacks what is expected of it; lists are given as objects of positions and `length`."""
        if not isinstance(expected, dict) or not isinstance(value, dict | list):
            if not same(expected, value, doubles=self.doubles):
                yield f"{place}: {value!r}, and {expected!r} was expected"
            return
        for key, part in expected.items():
            if key == "length" and isinstance(value, list):
                found = len(value)
            else:
                try:
                    found = value[key]
                except (KeyError, IndexError):
                    yield f"{place}/{key}: there is none"
                    continue
            yield from self._unexpected(part, found, f"{place}/{key}")

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(key): self._filled(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        return _REFERENCE.sub(lambda found: self._named(found[1]), value) if isinstance(value, str) else value

    def _named(self, reference: str) -> str:
        return str(_at(reference, self.saved))


def _at(place: str, value: Any) -> Any:
    for part in place.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
