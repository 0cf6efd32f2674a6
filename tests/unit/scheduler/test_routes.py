from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskqueue import __version__
from taskqueue.errors import InvalidValueError
from taskqueue.scheduler.routes import TriggerRequest, parse_trigger, scheduler_health

TEN = datetime(2024, 1, 15, 10, tzinfo=UTC)


def test_a_trigger_is_read_as_the_spec_has_it() -> None:
    body = {"task_type_id": "daily_report", "user_ids": ["user1", "user2"], "execute_immediately": True}

    assert parse_trigger(body) == TriggerRequest(
        task_type_id="daily_report", user_ids=("user1", "user2"), execute_immediately=True
    )


def test_a_trigger_is_spread_unless_it_says_otherwise() -> None:
    assert not parse_trigger({"task_type_id": "a", "user_ids": ["user1"]}).execute_immediately


def test_a_user_who_is_named_twice_counts_once() -> None:
    assert parse_trigger({"task_type_id": "a", "user_ids": ["z", "a", "z"]}).user_ids == ("z", "a")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("task_type_id", {"task_type_id": None}),
        ("task_type_id", {"task_type_id": 7}),
        ("user_ids", {"user_ids": None}),
        ("user_ids", {"user_ids": []}),
        ("user_ids", {"user_ids": "user1"}),
        ("user_ids", {"user_ids": {"user1": True}}),
        (r"user_ids\[1\]", {"user_ids": ["user1", 2]}),
        (r"user_ids\[1\]", {"user_ids": ["user1", ""]}),
        (r"user_ids\[1\]", {"user_ids": ["user1", None]}),
        (r"user_ids\[0\]", {"user_ids": ["x" * 513]}),
        (r"user_ids\[0\]", {"user_ids": ["\ud800"]}),
        ("execute_immediately", {"execute_immediately": "yes"}),
        ("execute_immediately", {"execute_immediately": 1}),
        ("execute_immediately", {"execute_immediately": None}),
        ("users", {"users": ["user1"]}),
    ],
)
def test_a_wrong_field_is_named(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError, match=f"^{field}: "):
        parse_trigger({"task_type_id": "a", "user_ids": ["user1"], **changes})


@pytest.mark.parametrize("field", ["task_type_id", "user_ids"])
def test_a_missing_field_is_named(field: str) -> None:
    body = {"task_type_id": "a", "user_ids": ["user1"]}
    del body[field]

    with pytest.raises(InvalidValueError, match=f"^{field}: "):
        parse_trigger(body)


def test_health_says_what_the_spec_says_before_anything_else() -> None:
    health = scheduler_health(healthy=True, started=TEN, now=TEN + timedelta(hours=1, milliseconds=900), leader=True)

    assert list(health.items()) == [
        ("status", "healthy"),
        ("version", __version__),
        ("uptime", 3600),
        ("leader", True),
    ]


def test_health_says_when_something_is_missing() -> None:
    assert scheduler_health(healthy=False, started=TEN, now=TEN)["status"] == "unhealthy"
