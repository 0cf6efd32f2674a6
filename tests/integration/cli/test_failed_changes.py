"""`taskqueue failed replay` and `drop`, as their user runs them, against a real RabbitMQ and a real Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import redis

from taskqueue.core.codec import decode_message
from taskqueue.core.failures import Failure
from taskqueue.core.job import JobMessage
from taskqueue.errors import StoreUnavailableError
from taskqueue.store.replays import ReplayAnswer, Replays
from tests.support.failed_pile import FailedPile, in_any_order

Run = Callable[..., tuple[int, str, str]]


def failed(pile: FailedPile, store: redis.Redis, number: int, **fields: object) -> JobMessage:
    """Let a job have failed, as a worker leaves it behind."""
    message = pile.add(number, **fields)
    store.set(f"taskqueue:done:{message.job.id}", "failed")
    return message


def test_a_replayed_job_waits_for_its_first_attempt_and_its_message_is_gone(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    job = failed(pile, store, 1, attempt=4).job

    assert run_failed("replay", "--yes") == (0, "replayed 1\n", "")

    waiting = decode_message(store.hget("taskqueue:delayed:job:job-1", "message").encode()).job
    due = store.zscore("taskqueue:delayed", "job-1")
    record = json.loads(store.get("taskqueue:execution:job-1"))
    assert (waiting.id, waiting.user_id, waiting.payload, waiting.scheduled_at) == (
        job.id,
        job.user_id,
        job.payload,
        job.scheduled_at,
    )
    assert (waiting.attempt, int(waiting.execute_after.timestamp() * 1000)) == (1, due)
    assert abs(due / 1000 - store.time()[0]) < 10
    assert (record["status"], record["attempt"], record["error"]["code"]) == ("retrying", 3, "http_500")
    assert not store.exists("taskqueue:done:job-1")
    assert pile.lying() == []


def test_replays_are_spread_evenly_in_the_order_of_the_queue(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    for number in range(4):
        failed(pile, store, number)

    assert run_failed("replay", "--yes", "--over", "1h")[:2] == (0, "replayed 4\n")

    due = [store.zscore("taskqueue:delayed", f"job-{number}") for number in range(4)]
    gaps = [round((later - earlier) / 1000) for earlier, later in pairwise(due)]
    assert gaps == [900, 900, 900]


def test_what_is_not_replayed_stays_as_it_was(pile: FailedPile, store: redis.Redis, run_failed: Run) -> None:
    for number in range(6):
        failed(pile, store, number, task_type_id="chosen" if number % 2 else "other")
    pile.put(b"\xff", "foreign", {"a": 1})
    before = pile.lying()

    assert run_failed("replay", "--yes", "--task", "chosen")[:2] == (0, "replayed 3\n")

    assert in_any_order(pile.lying()) == in_any_order([lying for lying in before if b'"chosen"' not in lying.body])
    assert set(store.zrange("taskqueue:delayed", 0, -1)) == {"job-1", "job-3", "job-5"}


def test_a_limit_replays_the_first_in_the_queue(pile: FailedPile, store: redis.Redis, run_failed: Run) -> None:
    for number in range(3):
        failed(pile, store, number)

    assert run_failed("replay", "--yes", "--limit", "2")[:2] == (0, "replayed 2\n")

    assert [lying.message_id for lying in pile.lying()] == ["job-2"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("taskqueue:done:job-1", "skipped", "1 over since in another way"),
        ("taskqueue:cancelled:job-1", "1", "1 cancelled"),
        ("taskqueue:execution:job-1", '{"status":"cancelled"}', "1 over since in another way"),
        ("taskqueue:delayed:job:job-1", {"message": "m"}, "1 waiting to be run already"),
    ],
)
def test_a_job_of_which_something_else_has_become_is_left_with_its_message(
    pile: FailedPile, store: redis.Redis, run_failed: Run, key: str, value: str | dict[str, str], said: str
) -> None:
    pile.add(1)
    if isinstance(value, dict):
        store.hset(key, mapping=value)
    else:
        store.set(key, value)
    before = {name: store.dump(name) for name in store.keys("*") if store.type(name) != "hash"}

    code, out, _ = run_failed("replay", "--yes")

    assert code == 1
    assert out.startswith(f"replayed 0; left in the queue 1: {said}")
    assert {name: store.dump(name) for name in store.keys("*") if store.type(name) != "hash"} == before
    assert len(pile.lying()) == 1


def test_a_job_that_a_living_worker_runs_is_left_and_one_of_a_dead_worker_is_replayed(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    for number, owner in ((1, "worker:alive"), (2, "worker:dead")):
        pile.add(number)
        store.hset(f"taskqueue:claim:job-{number}", mapping={"attempt": "1", "owner": owner})
    store.set("taskqueue:worker:worker:alive", "{}")
    store.set("taskqueue:fleet:watched", 1)

    code, out, _ = run_failed("replay", "--yes")

    assert (code, out) == (1, "replayed 1; left in the queue 1: 1 running\n")
    assert store.zrange("taskqueue:delayed", 0, -1) == ["job-2"]
    assert not store.exists("taskqueue:claim:job-2")


def test_a_failure_whose_message_comes_back_after_its_replay_makes_no_second_run(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    failed(pile, store, 1)
    run_failed("replay", "--yes")
    # The replayed job failed again, and the message that was acknowledged is there after all.
    store.delete("taskqueue:delayed:job:job-1", "taskqueue:delayed")
    failed(pile, store, 1)

    assert run_failed("replay", "--yes")[:2] == (0, "replayed 1, 1 of them before\n")

    assert store.zcard("taskqueue:delayed") == 0
    assert pile.lying() == []


def test_another_failure_of_a_replayed_job_is_replayed_again(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    failed(pile, store, 1)
    run_failed("replay", "--yes")
    store.delete("taskqueue:delayed:job:job-1", "taskqueue:delayed")
    failed(pile, store, 2, id="job-1")

    assert run_failed("replay", "--yes")[:2] == (0, "replayed 1\n")

    assert store.zcard("taskqueue:delayed") == 1


def test_the_end_of_a_replayed_job_counts_for_no_occurrence(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    pile.put(
        json.dumps(
            {
                "version": "1.0",
                "job": {
                    "id": "job-1",
                    "task_type_id": "daily_report",
                    "user_id": "u",
                    "scheduled_at": "2024-01-15T10:00:00Z",
                },
                "metadata": {"source": "scheduler", "correlation_id": "daily_report:20240115T100000Z"},
            }
        ).encode(),
        "job-1",
    )

    assert run_failed("replay", "--yes")[:2] == (0, "replayed 1\n")

    message = decode_message(store.hget("taskqueue:delayed:job:job-1", "message").encode())
    assert (message.occurrence, message.metadata.source) == (None, "scheduler")


def test_what_is_no_job_cannot_be_replayed(pile: FailedPile, run_failed: Run) -> None:
    pile.put(b"\xff", "foreign")

    assert run_failed("replay", "--yes")[:2] == (1, "replayed 0; left in the queue 1: 1 no jobs\n")

    assert len(pile.lying()) == 1


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_with_nobody_to_ask_it_refuses_and_nothing_is_changed(
    pile: FailedPile, store: redis.Redis, run_failed: Run, verb: str
) -> None:
    failed(pile, store, 1)

    code, _, err = run_failed(verb)

    assert code == 4
    assert "--yes" in err
    assert len(pile.lying()) == 1


@pytest.mark.parametrize(("answer", "left"), [(True, 0), (False, 1)])
def test_on_a_terminal_it_asks_and_goes_by_the_answer(
    pile: FailedPile, store: redis.Redis, run_failed: Run, monkeypatch: pytest.MonkeyPatch, answer: bool, left: int
) -> None:
    failed(pile, store, 1)
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text, **_: (asked.append(text), answer)[1])

    code, out, _ = run_failed("replay")

    assert (code, asked, len(pile.lying())) == (0, ["replay: 1?"], left)
    assert "1 failure of 1 kind" in out


def test_what_became_of_a_replay_and_a_drop_comes_as_json_on_request(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    failed(pile, store, 1)
    pile.add(2)

    replayed = json.loads(run_failed("replay", "--yes", "--job", "job-1", "-o", "json")[1])
    dropped = json.loads(run_failed("drop", "--yes", "-o", "json")[1])

    left = {"no_job": 0, "damaged_key": 0}
    assert replayed == {"replayed": 1, "before": 0, "succeeded_since": 0, "left": left}
    assert dropped == {"dropped": 1, "saved_in": None}


def test_a_dry_run_says_what_would_be_replayed(pile: FailedPile, store: redis.Redis, run_failed: Run) -> None:
    failed(pile, store, 1)

    code, out, _ = run_failed("replay", "--dry-run", "--over", "15m")

    assert out.splitlines()[-1] == "would replay over 15m: 1"
    assert (code, len(pile.lying())) == (0, 1)


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_a_dry_run_for_programs_is_one_document(pile: FailedPile, run_failed: Run, verb: str) -> None:
    pile.add(1)
    said = json.loads(run_failed(verb, "--dry-run", "-o", "json")[1])

    assert (said[f"would_{verb}"], said["failures"]["total"], len(pile.lying())) == (1, 1, 1)


def test_that_there_is_nothing_to_do_is_told_to_programs_as_well(pile: FailedPile, run_failed: Run) -> None:
    assert json.loads(run_failed("replay", "-o", "json")[1])["replayed"] == 0
    assert json.loads(run_failed("drop", "-o", "json")[1])["dropped"] == 0


def test_without_redis_nothing_is_replayed(pile: FailedPile, run_failed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pile.add(1)
    monkeypatch.setenv("TASKQUEUE_REDIS__ADDRESSES", '["127.0.0.1:1"]')

    code, _, err = run_failed("replay", "--yes")

    assert code == 5
    assert err.startswith("Redis: ")
    assert len(pile.lying()) == 1


def test_a_key_of_another_type_is_named_and_its_message_alone_stays(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    for number in range(3):
        failed(pile, store, number)
    store.set("taskqueue:claim:job-0", "spoilt")

    code, out, _ = run_failed("replay", "--yes")

    assert code == 1
    assert out.startswith("replayed 2; left in the queue 1: 1 with a damaged key: taskqueue:claim:job-0 holds ")
    assert [lying.message_id for lying in pile.lying()] == ["job-0"]


def test_what_was_replayed_before_redis_failed_is_told(
    pile: FailedPile, store: redis.Redis, run_failed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        failed(pile, store, number)
    replay = Replays.replay

    async def until_the_second(self: Replays, failure: Failure, due: datetime) -> ReplayAnswer:
        if failure.job_id == "job-1":
            raise StoreUnavailableError("Redis: gone")
        return await replay(self, failure, due)

    monkeypatch.setattr(Replays, "replay", until_the_second)

    code, out, err = run_failed("replay", "--yes")

    assert (code, out) == (5, "replayed 1\n")
    assert err.startswith("Redis: gone; ")


@pytest.mark.parametrize(
    ("key", "value"),
    [("taskqueue:done:job-1", "success"), ("taskqueue:execution:job-1", '{"status":"success"}')],
)
def test_the_message_of_a_job_that_has_succeeded_since_is_taken_out(
    pile: FailedPile, store: redis.Redis, run_failed: Run, key: str, value: str
) -> None:
    pile.add(1)
    store.set(key, value)

    assert run_failed("replay", "--yes")[:2] == (0, "replayed 0; taken out 1: succeeded since\n")

    assert store.keys("*") == [key]
    assert pile.lying() == []


def test_a_limit_counts_what_is_replayed_and_not_what_stays(
    pile: FailedPile, store: redis.Redis, run_failed: Run
) -> None:
    for number in range(5):
        failed(pile, store, number)
        if number < 2:
            store.set(f"taskqueue:cancelled:job-{number}", "1")

    code, out, _ = run_failed("replay", "--yes", "--limit", "2", "--over", "1h")

    due = [store.zscore("taskqueue:delayed", f"job-{number}") for number in (2, 3)]
    assert (code, out) == (1, "replayed 2; left in the queue 2: 2 cancelled\n")
    assert round((due[1] - due[0]) / 1000) == 1800
    assert len(pile.lying()) == 3


@pytest.mark.parametrize("verb", [("replay", "--yes"), ("replay", "--yes", "--over", "3s"), ("drop", "--yes")])
def test_while_somebody_else_holds_messages_a_change_is_not_taken_for_complete(
    pile: FailedPile, store: redis.Redis, run_failed: Run, verb: tuple[str, ...]
) -> None:
    for number in range(3):
        failed(pile, store, number)

    with pile.held():
        code, out, err = run_failed(*verb)
        looked = run_failed("stats")

    assert (code, looked[0]) == (1, 0)
    assert not any(word in out for word in ("replayed 3", "dropped 3"))
    for errors in (err, looked[2]):
        assert "somebody else holds messages of taskqueue.jobs.failed" in errors
    assert run_failed(*verb)[0] == 0


@pytest.mark.parametrize(("age", "replayed"), [(timedelta(minutes=29), False), (timedelta(minutes=31), True)])
def test_what_its_worker_did_not_put_away_is_replayed_once_its_message_must_have_come_back(
    pile: FailedPile, store: redis.Redis, run_failed: Run, age: timedelta, replayed: bool
) -> None:
    pile.add(1, failed_at=datetime.now(UTC) - age)
    store.set("taskqueue:done:job-1", "failing:permanent")

    code, out, _ = run_failed("replay", "--yes")

    left = "replayed 0; left in the queue 1: 1 not put away to the end by their worker; try again half an hour after"
    assert code == (0 if replayed else 1)
    assert out.startswith("replayed 1\n" if replayed else left)
    assert store.zcard("taskqueue:delayed") == int(replayed)
