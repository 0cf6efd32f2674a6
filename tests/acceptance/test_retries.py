"""Retries as promised: how often, how soon, for how long, and never where they cannot help."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from urllib.parse import quote

import aio_pika
import pytest

from taskqueue.core.instants import parse_rfc3339
from taskqueue.dev.target import Call
from tests.support.processes import Line, Process
from tests.support.system import System, foreign_message, new_users, trigger

pytestmark = pytest.mark.timeout(60)

MAX_RETRIES = 2
#: base and cap of the backoff, in seconds
BASE_S, CAP_S = 0.1, 1.2
#: two calls are further apart than the wait: by Redis, RabbitMQ, and a machine that is busy with other things
SLACK_S = 1.5
#: and clocks are only so good
ROUNDING_S = 0.05

EXECUTION = {
    "execution": {
        "max_retries": MAX_RETRIES,
        "retry_delay": f"{BASE_S * 1000:.0f}ms",
        "max_retry_delay": f"{CAP_S * 1000:.0f}ms",
    }
}

#: tasks that are always refused, and how often each is called
CALLED_BY_RETRIES = {None: 1 + MAX_RETRIES, 0: 1, 1: 2, 3: 4, 5: 6}

#: statuses that no repetition mends
FINAL_STATUSES = (301, 304, 400, 401, 403, 404, 405, 410, 413, 418, 422, 451)


@pytest.fixture(scope="module")
async def free_port() -> AsyncIterator[int]:
    """A port that refuses connections: it is bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(scope="module")
async def running(shared_system: System, free_port: int) -> tuple[Process, Process]:
    system = shared_system
    url = system.target.url
    elsewhere = url.replace("127.0.0.1", "localhost")  # a host of its own, since its calls end in silence
    retries = [
        system.task(f"retries_{count}", "/status/500", retries=count, retry_delay=None) for count in CALLED_BY_RETRIES
    ]
    system.write_tasks(
        *retries,
        system.task("wishes", "/ok", retries=1),
        system.task("short_lived", "/status/500", retries=100, max_age="1500ms"),
        system.task("told_to_outwait", "/status/500?retry_after=60", retries=100, max_age="700ms"),
        system.task("careful_reset", "/reset", retries=5, retry_unknown=False),
        system.task(
            "careful_hang", config={"endpoint": f"{elsewhere}/hang"}, timeout="300ms", retries=5, retry_unknown=False
        ),
        system.task(
            "careful_refused", config={"endpoint": f"http://127.0.0.1:{free_port}/x"}, retries=2, retry_unknown=False
        ),
        system.task("bold_reset", "/reset", retries=1),
        system.task("final", "/ok", retries=5),
        system.task("get", config={"endpoint": f"{url}/ok", "method": "GET"}, retries=5),
        system.task(
            "no_secret",
            config={"endpoint": f"{url}/ok", "headers": {"Authorization": "Bearer ${env:NOBODY_SET_THIS}"}},
            retries=5,
        ),
        system.task("placed", config={"endpoint": f"{url}/users/{{user_id}}/report"}, retries=5),
    )
    return await system.scheduler_and_worker(EXECUTION)


@pytest.fixture
def scheduler(running: tuple[Process, Process]) -> Process:
    return running[0]


@pytest.fixture
def worker(running: tuple[Process, Process]) -> Process:
    return running[1]


async def end_of(worker: Process, user_id: str) -> Line:
    """Return the log line that tells the end of a user's only job."""
    async with asyncio.timeout(20):
        while True:
            seen = len(worker.lines)
            for line in worker.events("job_settled", user_id=user_id):
                if line["decision"] in {"complete", "fail"}:
                    return line
            await worker.wait_for("job_settled", user_id=user_id, within=20, after=seen)


def check_attempts(calls: Sequence[Call], count: int) -> None:
    """Check that there were `count` calls, numbered from 1, under one key."""
    assert [call.headers["x-taskqueue-attempt"] for call in calls] == [str(number) for number in range(1, count + 1)]
    assert len({call.headers["idempotency-key"] for call in calls}) == 1
    assert {call.headers["idempotency-key"] for call in calls} == {call.headers["x-taskqueue-job"] for call in calls}


async def test_each_task_gets_its_own_number_of_retries_and_others_the_workers(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    users = dict(zip(CALLED_BY_RETRIES, new_users(len(CALLED_BY_RETRIES)), strict=True))
    for retries, user in users.items():
        await trigger(scheduler, f"retries_{retries}", [user])

    for retries, user in users.items():
        end = await end_of(worker, user)
        assert (end["status"], end["reason"]) == ("failed", "retries_exhausted")
        check_attempts(shared_system.calls(user=user), CALLED_BY_RETRIES[retries])
        record = await shared_system.execution(end["job_id"])
        assert record["error"] == {"code": "http_500", "message": "the endpoint answered 500", "retry": False}


async def test_no_backoff_is_longer_than_twice_the_one_before_allows_nor_than_the_cap(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    users = new_users(5)
    await trigger(scheduler, "retries_5", users)

    for user in users:
        await end_of(worker, user)
        calls = shared_system.calls(user=user)
        check_attempts(calls, 6)
        for number, (before, after) in enumerate(pairwise(calls)):
            assert after.at - before.at <= min(CAP_S, BASE_S * 2**number) + SLACK_S


def _date_in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


async def test_retry_after_is_honoured_in_both_forms_up_to_the_cap_and_ignored_where_it_is_none(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    # A wait is random up to the base, on top of what the endpoint asked for.
    nothing, cap = 0.0, CAP_S
    wishes = {
        "1": 1.0,
        "0": nothing,
        "3153600000": cap,
        "9" * 100: cap,
        _date_in(-3600): nothing,
        "Sun, 06 Nov 1994 08:49:37 GMT": nothing,
        _date_in(36_525 * 86_400): cap,
        "Sunday, 06-Nov-94 08:49:37 GMT": nothing,
        "-5": nothing,
        "1.5": nothing,
        "soon": nothing,
        "Mon, 99 Foo 2024 99:99:99 GMT": nothing,
        "x" * 3000: nothing,
    }
    waits = dict(zip(new_users(len(wishes)), wishes.items(), strict=True))
    for user, (wish, _) in waits.items():
        shared_system.target.set_user_rule(user, f"/status/500?retry_after={quote(wish)}")

    await trigger(scheduler, "wishes", list(waits))

    for user, (wish, asked_s) in waits.items():
        await end_of(worker, user)
        first, second = shared_system.calls(user=user)
        check_attempts([first, second], 2)
        (retry,) = worker.events("job_settled", user_id=user, decision="retry")
        planned = parse_rfc3339(retry["next_attempt_at"]).timestamp()
        assert asked_s - ROUNDING_S <= planned - first.at <= asked_s + BASE_S + SLACK_S / 3, wish
        assert second.at >= planned - ROUNDING_S, wish


async def test_a_date_in_the_near_future_is_waited_for(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    shared_system.target.set_user_rule(user, f"/status/500?retry_after={quote(format_datetime(until, usegmt=True))}")

    await trigger(scheduler, "wishes", [user])
    await end_of(worker, user)

    first, second = shared_system.calls(user=user)
    assert second.at >= min(until.timestamp(), first.at + CAP_S) - ROUNDING_S


async def test_a_job_that_grew_too_old_is_retried_no_more(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)
    await trigger(scheduler, "short_lived", [user])

    end = await end_of(worker, user)

    assert (end["status"], end["reason"]) == ("failed", "expired")
    calls = shared_system.calls(user=user)
    assert 2 <= len(calls) <= 100
    check_attempts(calls, len(calls))
    assert calls[-1].at - calls[0].at <= 1.5


async def test_a_wait_that_would_outlast_the_job_is_not_begun(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)
    await trigger(scheduler, "told_to_outwait", [user])

    end = await end_of(worker, user)

    assert (end["reason"], end["attempt"]) == ("expired", 1)
    check_attempts(shared_system.calls(user=user), 1)


async def test_a_call_that_may_have_had_its_effect_is_repeated_only_where_the_task_allows_it(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    reset, hang, bold = new_users(3)
    await trigger(scheduler, "careful_reset", [reset])
    await trigger(scheduler, "careful_hang", [hang])
    await trigger(scheduler, "bold_reset", [bold])

    for user, code in ((reset, "connection_reset"), (hang, "timeout")):
        end = await end_of(worker, user)
        assert (end["status"], end["reason"], end["attempt"]) == ("failed", "effect_unknown", 1)
        assert (await shared_system.execution(end["job_id"]))["error"]["code"] == code
        check_attempts(shared_system.calls(user=user), 1)
    assert (await end_of(worker, bold))["reason"] == "retries_exhausted"
    check_attempts(shared_system.calls(user=bold), 2)


async def test_a_call_that_was_never_sent_is_repeated_whatever_the_task_says_about_unknown_effects(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)
    await trigger(scheduler, "careful_refused", [user])

    end = await end_of(worker, user)

    assert (end["reason"], end["attempt"]) == ("retries_exhausted", 3)
    assert (await shared_system.execution(end["job_id"]))["error"]["code"] == "connection_refused"
    assert len(worker.events("attempt_ended", user_id=user, error_code="connection_refused")) == 3


async def test_an_answer_that_no_repetition_mends_is_asked_for_once_whatever_it_says_about_later(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    statuses = dict(zip(new_users(len(FINAL_STATUSES)), FINAL_STATUSES, strict=True))
    for user, status in statuses.items():
        shared_system.target.set_user_rule(user, f"/status/{status}?retry_after=1")

    await trigger(scheduler, "final", list(statuses))

    for user, status in statuses.items():
        end = await end_of(worker, user)
        assert (end["status"], end["reason"], end["attempt"]) == ("failed", "permanent", 1)
        assert (await shared_system.execution(end["job_id"]))["error"]["code"] == f"http_{status}"
        check_attempts(shared_system.calls(user=user), 1)


@pytest.mark.parametrize(
    "payload", [b"text", b"[1]", b'{"a": "\\ud800"}', b"\xff", json.dumps({"a": "x" * 70_000}).encode()]
)
async def test_a_payload_that_cannot_be_a_query_fails_before_any_call_and_is_not_retried(
    shared_system: System, worker: Process, payload: bytes
) -> None:
    (user,) = new_users(1)
    message = foreign_message("get", user, payload=base64.b64encode(payload).decode())

    await publish(shared_system, message)

    await check_never_called(shared_system, worker, user)


async def test_a_secret_that_this_worker_does_not_have_fails_before_any_call_and_is_not_retried(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)

    await trigger(scheduler, "no_secret", [user])

    message = await check_never_called(shared_system, worker, user)
    assert "NOBODY_SET_THIS" in message


async def test_a_user_id_that_would_change_the_path_fails_before_any_call_and_is_not_retried(
    shared_system: System, worker: Process
) -> None:
    await publish(shared_system, foreign_message("placed", ".."))

    message = await check_never_called(shared_system, worker, "..")
    assert "segment of a path" in message


async def publish(system: System, message: dict[str, object]) -> None:
    """Publish a message as another system would."""
    async with await aio_pika.connect(system.place.amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("taskqueue")
        await exchange.publish(aio_pika.Message(json.dumps(message).encode()), "jobs.normal")


async def check_never_called(system: System, worker: Process, user_id: str) -> str:
    """Check that the user's job failed at once without a call; return what its record says."""
    end = await end_of(worker, user_id)
    assert (end["status"], end["reason"], end["attempt"]) == ("failed", "permanent", 1)
    assert system.calls(user=user_id) == []
    error = (await system.execution(end["job_id"]))["error"]
    assert (error["code"], error["retry"]) == ("invalid_request", False)
    return str(error["message"])
