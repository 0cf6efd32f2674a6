from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.assets import asset_dir
from taskqueue.core.ids import MAX_USER_ID_BYTES, RESERVED_TASK_IDS
from taskqueue.store import keys
from tests.support.values import texts

DOCUMENT = (Path(__file__).parents[3] / "docs" / "redis.md").read_text(encoding="utf-8")
A_DAY = datetime(2024, 1, 15, tzinfo=UTC)

task_ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).filter(lambda text: text not in RESERVED_TASK_IDS)
user_ids = texts.filter(bool) | st.text(":{}*\n%a", min_size=1, max_size=20) | st.just("a:settings:b:tasks")


def built_keys() -> set[str]:
    """Return every key that the module builds, with its parameters' names in braces."""
    fixed = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    builders = [value for _, value in inspect.getmembers(keys, inspect.isfunction) if value.__module__ == keys.__name__]
    found = {key for key in fixed if not key.endswith(":")}
    for builder in builders:
        if builder is keys.user_of_key or builder.__name__.startswith("_"):
            continue
        arguments: dict[str, object] = {name: f"{{{name}}}" for name in inspect.signature(builder).parameters}
        arguments |= {name: value for name, value in {"day": A_DAY, "suffix": ""}.items() if name in arguments}
        found.add(unquote(builder(**arguments)).replace("2024-01-15", "{date}"))
    return {key for key in found if key.startswith(keys.PREFIX)}


def test_the_documentation_lists_exactly_the_keys_that_are_built() -> None:
    listed = re.findall(r"^\| `(taskqueue:[^`]+)` \|", DOCUMENT, re.MULTILINE)
    assert sorted(listed) == sorted(built_keys())


def test_the_documentation_lists_exactly_the_scripts_there_are() -> None:
    listed = re.findall(r"^\| `([a-z_]+\.lua)` \|", DOCUMENT, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in asset_dir("lua").glob("*.lua"))


@pytest.mark.parametrize(
    ("key", "spec"),
    [
        (keys.last_execution("daily_report"), "taskqueue:schedule:daily_report"),
        (keys.planning_lock("daily_report"), "taskqueue:schedule:lock:daily_report"),
        (keys.user_tasks("user_1"), "taskqueue:users:user_1:tasks"),
        (keys.user_settings("user_1", "daily_report"), "taskqueue:users:user_1:settings:daily_report"),
        (keys.GLOBAL_LIMIT, "taskqueue:ratelimit:global"),
        (keys.task_limit("daily_report"), "taskqueue:ratelimit:task:daily_report"),
        (keys.executions_of_day(A_DAY), "taskqueue:metrics:executions:2024-01-15"),
        (keys.failures_of_day(A_DAY), "taskqueue:metrics:failures:2024-01-15"),
        (keys.durations("daily_report"), "taskqueue:metrics:duration:daily_report"),
        (keys.slot("daily_report", 93, ""), "taskqueue:distribution:daily_report:93"),
        (keys.LEASE, "taskqueue:distribution:lock"),
    ],
)
def test_a_key_of_the_spec_stands_as_it_does_there(key: str, spec: str) -> None:
    assert key == spec


@given(user_id=user_ids)
def test_a_user_is_read_back_from_the_key_of_the_switches(user_id: str) -> None:
    assert keys.user_of_key(keys.user_tasks(user_id)) == user_id


@given(user_id=user_ids, task_id=task_ids)
def test_a_user_is_read_back_from_the_key_of_the_settings(user_id: str, task_id: str) -> None:
    key = keys.user_settings(user_id, task_id)
    assert keys.user_of_key(key) == user_id
    assert key == keys.USERS_PREFIX + user_id + keys.settings_suffix(task_id)


@given(one=st.tuples(user_ids, task_ids), other=st.tuples(user_ids, task_ids))
def test_no_two_users_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (keys.user_settings(*one) == keys.user_settings(*other)) == (one == other)
    assert keys.user_settings(*one) != keys.user_tasks(other[0])


@pytest.mark.parametrize(
    "key",
    [
        "",
        "taskqueue:due",
        "taskqueue:users:",
        "taskqueue:users:u",
        "taskqueue:users::tasks",
        "taskqueue:users::settings:t",
        "taskqueue:users:u:settings",
        "taskqueue:users:u:settings:",
        "taskqueue:users:u:profile:t",
        "other:taskqueue:users:u:tasks",
        f"taskqueue:users:{'x' * (MAX_USER_ID_BYTES + 1)}:tasks",
    ],
    ids=lambda key: key[:30],
)
def test_a_key_that_holds_no_users_preferences_has_no_user(key: str) -> None:
    assert keys.user_of_key(key) is None


@pytest.mark.parametrize(
    "builder", [keys.claim, keys.done, keys.cancelled, keys.execution, keys.delayed_job], ids=lambda b: b.__name__
)
@given(job_id=texts.filter(bool))
def test_a_job_id_cannot_reach_into_another_key(builder: object, job_id: str) -> None:
    assert callable(builder)
    key = builder(job_id)
    prefix, _, encoded = key.rpartition(":")
    assert unquote(encoded) == job_id
    assert key.isprintable()
    assert not set(encoded) & set("{}*? \n")
    assert prefix == builder("x").rpartition(":")[0]


@given(occurrence_id=texts.filter(bool))
def test_an_occurrence_id_cannot_reach_into_another_key(occurrence_id: str) -> None:
    key = keys.occurrence("t", occurrence_id)
    assert key.startswith("taskqueue:occurrence:t:")
    assert key.count(":") == 3
