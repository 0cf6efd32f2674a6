"""A request that got no answer: what is sent again under the same key, what is said of it, and what is waited for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from taskqueue.cli import api_client, outage
from tests.support.commands import run_here
from tests.support.threaded_server import Server, threaded_server

_PROBLEM = {"Content-Type": "application/problem+json"}

Answer = tuple[int, Any, dict[str, str]]
Run = Callable[..., tuple[int, str, str]]

AWAY: Answer = (503, {"detail": "Redis is away"}, _PROBLEM)
GATEWAY: Answer = (502, {}, {"Content-Type": "text/html"})
IN_WORK: Answer = (409, {"detail": "in work", "code": "idempotency_key_in_use"}, _PROBLEM)
#: the connection ends before the answer does
CUT: Answer = (200, {}, {"Content-Length": "999", "Connection": "close"})
MADE: Answer = (201, {"task_id": "t1", "status": "scheduled", "next_execution_time": None}, {})

CREATE = ("task", "create", "--name", "a", "--cron", "* * * * *")


def execution(status: str, execution_id: str = "e1") -> Answer:
    body = {"execution_id": execution_id, "status": status, "error": None, "reason": None, "duration_ms": 5}
    return 200, body, {}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with threaded_server() as found:
        yield found


@pytest.fixture
def asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server that commands are told to ask, which is asked again soon; what it was asked before is forgotten."""
    monkeypatch.setenv("TASKQUEUE_API_URL", server.url)
    monkeypatch.setenv("TASKQUEUE_TOKEN", "a-token")
    monkeypatch.setattr(api_client, "_REPEATED_AFTER", (0.01, 0.01))
    monkeypatch.setattr(outage, "_FIRST_PAUSE", 0.01)
    server.asked.clear()
    return server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `taskqueue`; return exit code, output and errors."""

    return partial(run_here, capsys)


def answers(server: Server, *all_of_them: Answer) -> None:
    """Answer like this, one after the other, and then always like the last one."""
    server.answers = lambda count: all_of_them[min(count, len(all_of_them)) - 1]


def keys(server: Server) -> list[str | None]:
    return [each.headers.get("idempotency-key") for each in server.asked]


@pytest.mark.parametrize("trouble", [AWAY, GATEWAY, IN_WORK, CUT], ids=["503", "502", "in work", "cut"])
def test_a_task_is_made_under_one_key_however_often_it_is_sent(asked: Server, run: Run, trouble: Answer) -> None:
    answers(asked, trouble, trouble, MADE)

    code, out, err = run(*CREATE)

    assert (code, out.split()[0], err) == (0, "t1", "")
    first, *others = keys(asked)
    assert first is not None
    assert others == [first, first]


@pytest.mark.parametrize(("trouble", "code"), [(AWAY, 5), (GATEWAY, 5), (IN_WORK, 4), (CUT, 5)])
def test_who_gives_up_is_told_the_key_and_where_to_look(asked: Server, run: Run, trouble: Answer, code: int) -> None:
    answers(asked, trouble)

    found, out, err = run(*CREATE)

    assert (found, out, len(asked.asked), len(err.splitlines())) == (code, "", 3, 1)
    assert (
        f"look before you repeat it (`taskqueue task list`), or repeat it with --idempotency-key {keys(asked)[0]}"
        in err
    )


def test_the_last_answer_is_told_where_the_time_ends_before_the_next_one(
    asked: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "_ANSWER_WITHIN", 1.0)
    monkeypatch.setattr(api_client, "_REPEATED_AFTER", (60.0,))
    answers(asked, AWAY)

    code, _, err = run(*CREATE)

    assert (code, len(asked.asked)) == (5, 1)
    assert "Redis is away; it may have been carried out" in err


@pytest.mark.parametrize("status", [500, 503])
def test_a_change_without_a_key_is_sent_once_and_its_doubt_is_told(asked: Server, run: Run, status: int) -> None:
    answers(asked, (status, {"detail": "trouble"}, _PROBLEM))

    err = run("task", "delete", "t1", "--yes")[2]

    assert (keys(asked), "it may have been carried out" in err) == ([None], True)


def test_a_refusal_and_a_look_leave_no_doubt(asked: Server, run: Run) -> None:
    answers(asked, (404, {"detail": "no such task"}, _PROBLEM), AWAY)

    told = [run("task", "trigger", "t1")[2], run("task", "show", "t1")[2]]

    assert len(asked.asked) == 2
    assert not any("carried out" in err for err in told)


def test_a_key_may_be_named_and_is_sent(asked: Server, run: Run) -> None:
    answers(asked, MADE, (202, {"execution_id": "e1"}, {}))

    assert run(*CREATE, "--idempotency-key", "of-today")[0] == 0
    assert run("task", "trigger", "t1", "--idempotency-key", "of-now")[0] == 0
    assert keys(asked) == ["of-today", "of-now"]


@pytest.mark.parametrize("key", ["", "two words", "caf\u00e9", "x" * 256])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(asked: Server, run: Run, key: str) -> None:
    code, _, err = run(*CREATE, "--idempotency-key", key)

    assert (code, asked.asked, err.startswith("--idempotency-key: ")) == (2, [], True)


# --- cancel -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(429, 4), (412, 4)])
def test_jobs_are_left_where_cancelling_is_refused_but_not_for_their_end(
    asked: Server, run: Run, status: int, code: int
) -> None:
    answers(asked, (status, {"detail": "not now"}, {**_PROBLEM, "Retry-After": "61"}))

    found, out, err = run("exec", "cancel", "e1", "e2")

    assert (found, out) == (code, "")
    assert "to be cancelled again:\ne1\ne2\n" in err


def test_jobs_that_had_ended_are_told_and_the_others_go_on(asked: Server, run: Run) -> None:
    ended: Answer = (409, {"detail": "it has ended", "code": "execution_ended"}, _PROBLEM)
    answers(asked, ended, (200, {"status": "cancelled"}, {}))

    code, out, _ = run("exec", "cancel", "e1", "e2")

    assert (code, out) == (1, "e1: nothing is changed: it has ended\ne2: cancelled\n")


# --- waiting for an end -----------------------------------------------------------------------------------------------


def test_a_trigger_that_waits_names_its_executions_first_and_outlasts_an_outage(asked: Server, run: Run) -> None:
    answers(asked, (202, {"execution_id": "e1"}, {}), AWAY, CUT, execution("running"), AWAY, execution("success"))

    code, out, err = run("task", "trigger", "t1", "--wait")

    assert (code, out) == (0, "e1 success in 5 ms\n")
    assert err.startswith("queued:\ne1\nwarning: ")
    assert err.count("looking again") == 2


def test_what_was_not_seen_to_end_is_named_when_the_wait_is_over(asked: Server, run: Run) -> None:
    queued: Answer = (202, {"execution_ids": ["e1", "e2", "e3"]}, {})
    answers(asked, queued, execution("success"), execution("running", "e2"))

    code, _, err = run("task", "trigger", "t1", "--wait", "--within", "1s")

    assert code == 1
    assert err.endswith("follows:\ne2\ne3\nno end within 1s\n")


def test_what_was_not_seen_to_end_is_named_where_looking_fails(asked: Server, run: Run) -> None:
    answers(asked, (202, {"execution_id": "e1"}, {}), (404, {"detail": "no execution"}, _PROBLEM))

    code, _, err = run("task", "trigger", "t1", "--wait")

    assert (code, err.splitlines()[-2:]) == (3, ["e1", "no execution"])


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ((), "no answer yet; it may have been carried out: look before you repeat it (`taskqueue exec list t1`)"),
        (((202, {"execution_id": "e1"}, {}),), "follows:\ne1\ninterrupted\n"),
    ],
    ids=["before it is queued", "after it is queued"],
)
def test_an_interrupted_trigger_tells_what_may_still_run(asked: Server, before: tuple[Answer, ...], told: str) -> None:
    reached, over = Event(), Event()

    def answer(count: int) -> Answer:
        if count <= len(before):
            return before[count - 1]
        reached.set()
        over.wait(30)
        return AWAY

    asked.answers = answer
    command = [str(Path(sys.executable).with_name("taskqueue")), "task", "trigger", "t1", "--wait"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert reached.wait(20)
            process.send_signal(signal.SIGINT)
            err = process.communicate(timeout=20)[1]
        finally:
            over.set()
            process.kill()

    assert process.returncode == 130
    assert told in err
    assert err.endswith("interrupted\n")


# --- logs -f ----------------------------------------------------------------------------------------------------------


def test_a_followed_log_outlasts_an_outage_and_says_so_once(asked: Server, run: Run) -> None:
    line = {"timestamp": "2026-01-08T12:00:00Z", "level": "INFO", "message": "half"}
    log: Answer = (200, {"logs": [line]}, {})
    answers(asked, execution("running"), AWAY, AWAY, log, execution("success"), log)

    code, out, err = run("exec", "logs", "-f", "e1")

    assert (code, out.count("half"), err.count("looking again for up to 60 s")) == (0, 1, 1)


def test_a_log_is_not_followed_where_nobody_answers_at_first(asked: Server, run: Run) -> None:
    answers(asked, AWAY)

    assert (run("exec", "logs", "-f", "e1")[0], len(asked.asked)) == (5, 1)


def test_following_is_given_up_after_a_while_without_an_answer(
    asked: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.cli.exec_logs._PATIENCE", 0.1)
    answers(asked, execution("running"), AWAY)

    assert run("exec", "logs", "-f", "e1")[0] == 5
    assert len(asked.asked) > 2


def test_each_answer_renews_the_patience_with_a_quota(asked: Server, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_QUOTA_PATIENCE", 0.15)
    busy: Answer = (429, {"detail": "too many"}, {**_PROBLEM, "Retry-After": "0"})
    log: Answer = (200, {"logs": []}, {})
    answers(asked, busy, execution("running"), busy, log, busy, execution("success"), log)

    assert run("exec", "logs", "-f", "e1")[0] == 0


# --- update -----------------------------------------------------------------------------------------------------------

CONFIG = {"endpoint": "http://old", "method": "PUT", "headers": {}, "max_duration": "30s"}
CHANGED: Answer = (200, {"task_id": "t1", "updated_fields": ["config"], "next_execution_time": None}, {})


def test_another_endpoint_leaves_the_rest_of_the_config_of_that_version(asked: Server, run: Run) -> None:
    answers(asked, (200, {"config": CONFIG, "source": "api"}, {"ETag": '"7"'}), CHANGED)

    assert run("task", "update", "t1", "--endpoint", "http://new")[0] == 0
    sent = asked.asked[1]
    assert json.loads(sent.body) == {"config": {"endpoint": "http://new", "method": "PUT", "max_duration": "30s"}}
    assert sent.headers["if-match"] == '"7"'


def test_another_endpoint_is_refused_where_hidden_headers_would_be_lost(asked: Server, run: Run) -> None:
    config = {**CONFIG, "headers": {"Authorization": "***"}}
    answers(asked, (200, {"config": config, "source": "api"}, {"ETag": '"7"'}), CHANGED)

    code, _, err = run("task", "update", "t1", "--endpoint", "http://new")

    assert (code, len(asked.asked)) == (4, 1)
    assert "headers (Authorization), whose values the API does not tell; give the whole config in a file" in err


def test_an_endpoint_beside_a_file_leaves_the_rest_of_the_files_config(
    asked: Server, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("fields") / "task.json"
    file.write_text(json.dumps({"config": {"endpoint": "http://old", "method": "PUT"}}), encoding="utf-8")
    answers(asked, CHANGED)

    assert run("task", "update", "t1", "-f", str(file), "--endpoint", "http://new")[0] == 0
    assert json.loads(asked.asked[0].body) == {"config": {"endpoint": "http://new", "method": "PUT"}}
