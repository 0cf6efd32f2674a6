"""`taskqueue exec cancel`, `show` and `logs`, as their user runs them, against a real Redis."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial

import pytest
import redis

from taskqueue.core.log_line import Level, LogLine
from taskqueue.core.state import Status
from tests.support.commands import run_here
from tests.support.values import TEN_O_CLOCK, a_job, a_record, an_attempt

JOB = a_job()

RunExec = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_exec(capsys: pytest.CaptureFixture[str]) -> RunExec:
    """Run `taskqueue exec` here with arguments; return its exit code, output and errors."""

    return partial(run_here, capsys, "exec")


def test_a_job_of_which_there_is_no_trace_is_marked_and_whether_it_is_one_is_asked(
    store: redis.Redis, run_exec: RunExec
) -> None:
    code, out, err = run_exec("cancel", JOB.id)

    assert (code, err) == (0, "")
    assert out == f"{JOB.id}: no trace of this job yet; marked as cancelled should it come; is the id right?\n"
    assert store.keys("*") == [f"taskqueue:cancelled:{JOB.id}"]


def test_marking_what_is_no_uuid_is_a_warning(store: redis.Redis, run_exec: RunExec) -> None:
    code, _, err = run_exec("cancel", JOB.id, "b:\x1bc")

    (line,) = err.splitlines()
    assert code == 0
    assert line.startswith(r"warning: b:\x1bc: job ids are UUIDs: taskqueue explain --task")
    assert set(store.keys("*")) == {f"taskqueue:cancelled:{JOB.id}", "taskqueue:cancelled:b%3A%1Bc"}


def test_a_running_job_says_who_has_it(store: redis.Redis, run_exec: RunExec) -> None:
    store.hset("taskqueue:claim:a", mapping={"attempt": "2", "owner": "worker-1:aa", "delivery": "7"})
    store.set("taskqueue:worker:worker-1:aa", "{}")

    code, out, _ = run_exec("cancel", "a")

    assert (code, out.split(",")[0]) == (0, "a: runs on worker-1:aa")


def test_many_jobs_are_cancelled_only_with_consent(store: redis.Redis, run_exec: RunExec) -> None:
    jobs = [f"job-{number}" for number in range(11)]

    assert run_exec("cancel", *jobs, "--dry-run") == (0, "would cancel 11 jobs\n", "")
    assert run_exec("cancel", *jobs)[:2] == (4, "")
    assert store.keys("*") == []

    code, out, _ = run_exec("cancel", *jobs, "--yes", "-o", "json")

    told = [json.loads(line) for line in out.splitlines()]
    assert (code, [(each["id"], each["outcome"]) for each in told]) == (0, [(job, "marked") for job in jobs])


@pytest.mark.parametrize(
    ("word", "said"), [("success", "success"), ("failing:expired", "failed"), ("failed", "failed")]
)
def test_a_job_that_has_ended_is_exit_1_and_the_others_are_cancelled(
    store: redis.Redis, run_exec: RunExec, word: str, said: str
) -> None:
    store.set("taskqueue:done:a", word)

    code, out, _ = run_exec("cancel", "a", "b")

    assert code == 1
    assert out.splitlines()[0] == f"a: had ended before: {said}; nothing is changed"
    assert store.exists("taskqueue:cancelled:b")
    assert not store.exists("taskqueue:cancelled:a")


def test_show_tells_where_a_job_waits(store: redis.Redis, run_exec: RunExec) -> None:
    store.hset("taskqueue:delayed:job:a", mapping={"attempt": "2", "list": "taskqueue:waiting:global"})

    code, out, _ = run_exec("show", "a")

    assert code == 0
    assert json.loads(out) == {
        "job_id": "a",
        "status": "pending",
        "cancelled": False,
        "attempt": 2,
        "worker": None,
        "worker_lives": None,
        "waits_in": "taskqueue:waiting:global",
        "execution": None,
        "attempts": [],
    }


@pytest.mark.parametrize(("beat", "status"), [(True, "running"), (False, "pending")])
def test_show_tells_who_runs_a_job_and_whether_it_lives(
    store: redis.Redis, run_exec: RunExec, beat: bool, status: str
) -> None:
    store.hset("taskqueue:claim:a", mapping={"attempt": "1", "owner": "worker-1:aa"})
    if beat:
        store.set("taskqueue:worker:worker-1:aa", "{}")

    shown = json.loads(run_exec("show", "a")[1])

    assert (shown["status"], shown["worker"], shown["worker_lives"]) == (status, "worker-1:aa", beat)


def test_show_prints_the_record_of_an_ended_job_without_characters_that_a_terminal_acts_on(
    store: redis.Redis, run_exec: RunExec
) -> None:
    record = a_record(a_job(user_id="\x1b[2J\u202e"))
    store.set(f"taskqueue:execution:{JOB.id}", record.to_json())
    store.set(f"taskqueue:done:{JOB.id}", "success")

    code, out, _ = run_exec("show", JOB.id)

    assert (code, out.isascii(), "\x1b" in out) == (0, True, False)
    assert json.loads(out)["status"] == "success"
    assert json.loads(out)["execution"] == json.loads(record.to_json())


def test_show_lists_the_attempts_of_a_job(store: redis.Redis, run_exec: RunExec) -> None:
    attempts = [an_attempt(), an_attempt(attempt=2, message="\x1b[2J")]
    store.set("taskqueue:execution:a", a_record(a_job(), status=Status.FAILED).to_json())
    store.rpush("taskqueue:execution:a:attempts", *(attempt.to_json() for attempt in attempts))

    code, out, _ = run_exec("show", "a")

    assert (code, out.isascii(), "\x1b" in out) == (0, True, False)
    assert json.loads(out)["attempts"] == [attempt.as_dict() for attempt in attempts]


def test_logs_shows_the_workers_lines_and_those_of_the_endpoint_in_their_order(
    store: redis.Redis, run_exec: RunExec
) -> None:
    line = LogLine(timestamp=TEN_O_CLOCK, level=Level.ERROR, message="no \x1b[2J report")
    store.set("taskqueue:execution:a", a_record(a_job()).to_json())
    store.rpush("taskqueue:execution:a:logs", line.to_json())

    code, out, err = run_exec("logs", "a")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2024-01-15T10:00:00Z INFO    attempt 1 began on worker-1",
        r"2024-01-15T10:00:00Z ERROR   no \x1b[2J report",
        "2024-01-15T10:00:00.250000Z INFO    answered 2xx in 250 ms",
    ]


def test_logs_as_json_is_an_object_a_line(store: redis.Redis, run_exec: RunExec) -> None:
    store.set("taskqueue:execution:a", a_record(a_job()).to_json())

    code, out, _ = run_exec("logs", "a", "--json")

    assert (code, out.isascii()) == (0, True)
    assert json.loads(out.splitlines()[0]) == {
        "timestamp": "2024-01-15T10:00:00Z",
        "level": "INFO",
        "message": "attempt 1 began on worker-1",
    }


@pytest.mark.usefixtures("store")
def test_logs_of_a_job_that_nobody_knows_is_exit_3(run_exec: RunExec) -> None:
    assert run_exec("logs", JOB.id) == (3, "", f"{JOB.id}: no log\n")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("verb", [["show"], ["logs"], ["logs", "-f"]])
def test_where_nothing_is_known_of_what_is_no_uuid_it_is_told_where_ids_are(run_exec: RunExec, verb: list[str]) -> None:
    code, out, err = run_exec(*verb, "daily_report:2024-01-15T10:00:00Z:ada")

    assert (code, out) == (3, "")
    assert "job ids are UUIDs: taskqueue explain --task T --user U --at TIME names the job" in err


def test_show_of_a_cancelled_job_says_so_before_its_message_has_come(store: redis.Redis, run_exec: RunExec) -> None:
    store.set("taskqueue:cancelled:a", "1")

    code, out, _ = run_exec("show", "a")

    shown = json.loads(out)
    assert (code, shown["status"], shown["cancelled"]) == (0, None, True)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("output", ["table", "json"])
def test_show_of_a_job_that_nobody_knows_is_a_sentence_and_exit_3(run_exec: RunExec, output: str) -> None:
    code, out, err = run_exec("show", JOB.id, "-o", output)

    assert (code, out) == (3, "")
    assert err.startswith(f"{JOB.id}: nothing is known about it; ")
    assert len(err.splitlines()) == 1


def test_a_table_shows_the_answer_as_text_and_the_duration_in_milliseconds(
    store: redis.Redis, run_exec: RunExec
) -> None:
    store.set("taskqueue:execution:a", a_record(a_job(), response=b"no report \x1b[2J\xff").to_json())

    lines = [re.split(r"  +", line) for line in run_exec("show", "a", "-o", "table")[1].splitlines()]

    assert ["execution.duration ms", "250"] in lines
    assert ["execution.response", "no report \\x1b[2J\ufffd"] in lines


def test_a_key_of_another_type_is_named(store: redis.Redis, run_exec: RunExec) -> None:
    store.set("taskqueue:claim:a", "spoilt")

    for verb in ("cancel", "show"):
        code, _, err = run_exec(verb, "a")
        assert code == 1
        assert err.startswith("taskqueue:claim:a holds ")


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("verb", ["cancel", "show", "logs"])
def test_without_redis_one_line_says_so(run_exec: RunExec, verb: str) -> None:
    code, out, err = run_exec(verb, "a")

    assert (code, out) == (5, "")
    assert err.startswith("Redis: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("job_id", "problem"), [("x\udcff", "not valid UTF-8"), ("", "empty")])
def test_what_no_job_has_as_its_id_is_wrong_usage_before_anything_is_cancelled(
    store: redis.Redis, run_exec: RunExec, job_id: str, problem: str
) -> None:
    code, out, err = run_exec("cancel", "a", job_id)

    assert (code, out) == (2, "")
    assert f"JOB 2: {problem}" in err
    assert store.keys("*") == []
    assert run_exec("show", job_id)[0] == run_exec("logs", job_id)[0] == 2


def test_jobs_without_an_answer_are_told_so_that_they_can_be_cancelled_again(
    store: redis.Redis, run_exec: RunExec
) -> None:
    store.set("taskqueue:claim:b", "spoilt")

    code, out, err = run_exec("cancel", "a", "b", "c")

    assert (code, [line.split(":")[0] for line in out.splitlines()]) == (1, ["a"])
    assert err.splitlines()[1:4] == ["without an answer, to be cancelled again:", "b", "c"]
    assert "taskqueue:claim:b" in err
