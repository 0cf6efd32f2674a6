from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.api_task import ApiPriority, ApiTaskState, TaskStatus, TaskType
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Target
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store.api_task_record import (
    MAX_PAYLOAD_BYTES,
    indexes,
    payload_body,
    row,
    status_index,
    tag_index,
    task_from_json,
    task_to_json,
)
from tests.support.api_values import NOON, an_api_task, numbered_id
from tests.support.values import instants

lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
unicode_texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | numbers | unicode_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(unicode_texts, inner, max_size=4),
    max_leaves=10,
)
schedules = st.one_of(
    st.fixed_dictionaries({"schedule_expression": st.sampled_from(["@daily", "5 4 * * sun"])}),
    st.fixed_dictionaries({"task_type": st.just(TaskType.ONE_TIME), "run_at": instants(first_year=1971)}),
    st.fixed_dictionaries(
        {
            "task_type": st.just(TaskType.INTERVAL),
            "interval": st.builds(
                Every, kind=st.just(EveryKind.WEEKLY), value=st.integers(1, 9), weekday=st.integers(0, 6)
            ),
        }
    ),
)
targets = st.builds(
    Target,
    endpoint=st.just("https://api.example.com/{task_id}"),
    method=st.sampled_from(["GET", "POST"]),
    headers=st.dictionaries(lines, lines, max_size=3),
    max_duration=st.none() | st.integers(1, 900_000).map(lambda ms: timedelta(milliseconds=ms)),
    signing_secrets=st.just(("${env:SECRET}",)),
)
definitions = st.fixed_dictionaries(
    {
        "task_name": lines,
        "payload": json_values,
        "tags": st.dictionaries(lines, lines, max_size=3),
        "priority": st.sampled_from(ApiPriority),
        "timeout_seconds": st.integers(1, 900),
        "max_retries": st.integers(0, 100),
        "enabled": st.booleans(),
        "target": targets,
        "created_at": instants(),
        "updated_at": instants(),
        "revision": st.integers(1),
    }
)


@given(definitions, schedules)
def test_a_definition_is_read_as_it_was_written(definition: dict[str, Any], schedule: dict[str, Any]) -> None:
    task = an_api_task(**definition | schedule)
    assert task_from_json(task_to_json(task)) == task


def test_a_payload_stays_what_it_is_to_the_last_digit() -> None:
    payload = {"int": 2**70, "float": 0.1, "text": "\u2028é\x00", "deep": [[[[]]]], "none": None}
    assert json.loads(payload_body(an_api_task(payload=payload))) == payload


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (float("nan"), "payload: not a JSON value"),
        ({"a": float("-inf")}, "payload: not a JSON value"),
        (object(), "payload: not a JSON value"),
        ("\udfff", "payload: has a lone surrogate"),
        ("é" * (MAX_PAYLOAD_BYTES // 2), "payload: 65538 bytes of JSON; use at most 65536"),
    ],
)
def test_a_payload_that_no_job_can_carry_is_refused(payload: object, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        task_to_json(an_api_task(payload=payload))


def test_a_payload_of_just_the_size_is_taken() -> None:
    assert len(payload_body(an_api_task(payload="x" * (MAX_PAYLOAD_BYTES - 2)))) == MAX_PAYLOAD_BYTES


def test_a_payload_that_is_nested_without_end_is_refused() -> None:
    payload: list[object] = []
    payload.append(payload)
    with pytest.raises(InvalidValueError, match="payload: not a JSON value"):
        payload_body(an_api_task(payload=payload))


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_definition_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidValueError, match="stored API task"):
        task_from_json(text)


def test_a_record_of_another_task_is_damaged() -> None:
    values = [task_to_json(an_api_task(1)), b"1", b"scheduled", *[None] * 5]
    with pytest.raises(DamagedKeyError, match="its id is"):
        row(numbered_id(2), values)


def test_a_state_is_read_from_its_fields() -> None:
    task = an_api_task()
    at = str(int(NOON.timestamp() * 1000)).encode()
    found = row(task.task_id, [task_to_json(task), b"1", b"paused", at, at, b"3", b"execution", at])
    state = ApiTaskState(
        status=TaskStatus.PAUSED,
        next_at=NOON,
        last_at=NOON,
        retry_count=3,
        last_execution_id="execution",
        paused_at=NOON,
    )
    assert found == (task, state)


@pytest.mark.parametrize("revision", [b"2", b"", b"one", None])
def test_a_revision_that_is_not_that_of_the_definition_is_named_with_its_remedy(revision: bytes | None) -> None:
    task = an_api_task()
    with pytest.raises(DamagedKeyError, match=rf"revision 1 beside .*HSET taskqueue:api:task:{task.task_id} rev 1$"):
        row(task.task_id, [task_to_json(task), revision, b"paused", *[None] * 5])


@pytest.mark.parametrize("empty", [None, b""])
def test_fields_that_say_nothing_are_none(empty: bytes | None) -> None:
    task = an_api_task()
    found = row(task.task_id, [task_to_json(task), b"1", b"completed", *[empty] * 5])
    assert found == (task, ApiTaskState(status=TaskStatus.COMPLETED))


@pytest.mark.parametrize(
    "state",
    [[b"unknown"], [None], [b"paused", b"x"], [b"paused", b"9" * 30], [b"paused", b"", b"", b"x"], [b"\xff"]],
)
def test_a_state_of_another_hand_is_damaged(state: list[bytes | None]) -> None:
    task = an_api_task()
    values = [task_to_json(task), b"1", *state, *[None] * 6][:8]
    with pytest.raises(DamagedKeyError, match="redis-cli DEL"):
        row(task.task_id, values)


def test_the_list_of_the_priority_stands_first() -> None:
    task = an_api_task(priority=ApiPriority.LOW, tags={"a=b": "c:d\u00e9"})
    assert indexes(task).split("\n") == ["priority:low", "type:cron", "tag:a%3Db=c%3Ad%C3%A9"]
    assert status_index(TaskStatus.PAUSED, ApiPriority.LOW) == "status:paused:priority:low"


@given(lines, lines, lines, lines)
def test_two_tags_never_share_a_list(key: str, text: str, other_key: str, other_text: str) -> None:
    assert (tag_index(key, text) == tag_index(other_key, other_text)) is ((key, text) == (other_key, other_text))


def test_instants_before_1970_are_kept() -> None:
    assert (
        task_from_json(task_to_json(an_api_task(created_at=datetime(1960, 1, 1, tzinfo=UTC)))).created_at.year == 1960
    )
