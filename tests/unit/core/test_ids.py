from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.ids import (
    MAX_USER_ID_BYTES,
    RESERVED_TASK_IDS,
    JobIds,
    check_task_id,
    check_user_id,
    scheduled_job_id,
    triggered_jobs,
)
from taskqueue.core.instants import parse_rfc3339
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK, instants, texts

GOLDEN_IDS = json.loads((Path(__file__).parents[2] / "contract" / "job_ids.json").read_text(encoding="utf-8"))

task_ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).filter(lambda text: text not in RESERVED_TASK_IDS)
user_ids = texts.filter(bool)
triples = st.tuples(task_ids, user_ids, instants())


@pytest.mark.parametrize("task_id", ["a", "Z9", "api.heavy-2_x", ".", "-", "x" * 64])
def test_a_task_id_is_up_to_64_letters_digits_dots_underscores_and_hyphens(task_id: str) -> None:
    assert check_task_id(task_id) == task_id


@pytest.mark.parametrize("task_id", ["", "x" * 65, "a:b", "a b", "a\n", "{a}", "é", "٣", "a/b", "a%3A"])
def test_what_could_not_stand_in_every_key_is_no_task_id(task_id: str) -> None:
    with pytest.raises(InvalidValueError, match="task id"):
        check_task_id(task_id)


@pytest.mark.parametrize("task_id", sorted(RESERVED_TASK_IDS))
def test_a_reserved_task_id_is_refused_with_the_reason(task_id: str) -> None:
    with pytest.raises(InvalidValueError, match="reserved"):
        check_task_id(task_id)


def test_a_long_wrong_task_id_is_shortened_in_the_error() -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_task_id("ä" * 5000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("user_id", ["u", "a:b{c}*\n\0", "日本", "x" * MAX_USER_ID_BYTES, "\N{REPLACEMENT CHARACTER}"])
def test_a_user_id_may_hold_any_character(user_id: str) -> None:
    assert check_user_id(user_id) == user_id


@pytest.mark.parametrize("user_id", ["", "x" * (MAX_USER_ID_BYTES + 1), "日" * 200])
def test_a_user_id_has_1_to_512_bytes(user_id: str) -> None:
    with pytest.raises(InvalidValueError, match=r"user id of \d+ bytes"):
        check_user_id(user_id)


def test_a_user_id_with_half_a_character_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="not valid Unicode"):
        check_user_id("a\ud800")


@pytest.mark.parametrize("golden", GOLDEN_IDS["scheduled"], ids=lambda golden: golden["id"][:8])
def test_the_id_of_a_scheduled_job_never_changes(golden: dict[str, str]) -> None:
    scheduled_at = parse_rfc3339(golden["scheduled_at"])
    assert scheduled_job_id(golden["task_id"], golden["user_id"], scheduled_at) == golden["id"]


@pytest.mark.parametrize("golden", GOLDEN_IDS["triggered"], ids=lambda golden: golden["id"][:8])
def test_the_id_of_a_triggered_job_never_changes(golden: dict[str, str]) -> None:
    assert triggered_jobs(golden["task_id"], golden["trigger_id"])(golden["user_id"]) == golden["id"]


@given(task_id=task_ids, what_for=texts, user_id=user_ids)
def test_a_job_id_is_what_the_library_makes_of_the_same_name(task_id: str, what_for: str, user_id: str) -> None:
    namespace = uuid.UUID("6a1c5a5e-0c0e-5d43-9a53-3f6b7a2f6c11")
    assert JobIds(task_id, what_for)(user_id) == str(uuid.uuid5(namespace, f"{task_id}\n{what_for}\n{user_id}"))


@given(one=triples, other=triples)
def test_different_triples_give_different_ids(one: tuple[str, str, datetime], other: tuple[str, str, datetime]) -> None:
    assert (scheduled_job_id(*one) == scheduled_job_id(*other)) == (one == other)


@given(task_id=task_ids, user_id=user_ids, cut=st.integers(1, 39))
def test_moving_characters_between_task_and_user_gives_another_id(task_id: str, user_id: str, cut: int) -> None:
    # "a" + "b:c" and "a:b" + "c" must not meet.
    head, tail = user_id[:cut], user_id[cut:]
    if tail:
        joined = scheduled_job_id(task_id, user_id, TEN_O_CLOCK)
        assert scheduled_job_id(task_id + head, tail, TEN_O_CLOCK) != joined


def test_the_instant_counts_and_not_the_zone_it_is_written_in() -> None:
    in_new_york = parse_rfc3339("2024-01-15T05:00:00-05:00")
    assert scheduled_job_id("t", "u", in_new_york) == scheduled_job_id("t", "u", TEN_O_CLOCK)
    assert scheduled_job_id("t", "u", TEN_O_CLOCK + timedelta(microseconds=1)) != scheduled_job_id(
        "t", "u", TEN_O_CLOCK
    )


@given(task_id=task_ids, user_id=user_ids)
def test_a_trigger_named_like_an_instant_gives_another_id(task_id: str, user_id: str) -> None:
    scheduled = scheduled_job_id(task_id, user_id, TEN_O_CLOCK)
    assert triggered_jobs(task_id, "2024-01-15T10:00:00Z")(user_id) != scheduled


def test_a_job_id_is_a_uuid_of_version_5() -> None:
    assert uuid.UUID(scheduled_job_id("t", "u", TEN_O_CLOCK)).version == 5
