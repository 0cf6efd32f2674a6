"""What verbs make of an API that is not there, is another server, is slow or says no; the token is in no text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskqueue.cli import api_client
from tests.support.commands import run_here
from tests.support.threaded_server import Server, threaded_server

TOKEN = "canary-token-0123456789"

_PROBLEM = {"Content-Type": "application/problem+json"}

List = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with threaded_server() as found:
        yield found


@pytest.fixture
def asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server that commands are told to ask; what it was asked before is forgotten."""
    monkeypatch.setenv("TASKQUEUE_API_URL", server.url)
    monkeypatch.setenv("TASKQUEUE_TOKEN", TOKEN)
    server.asked.clear()
    return server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> List:
    """Run `taskqueue`; return exit code, output and errors, in which no token is."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code, out, err = run_here(capsys, *arguments)
        assert TOKEN not in out + err
        return code, out, err

    return run


def says(server: Server, status: int, body: Any, **headers: str) -> None:
    named = {**_PROBLEM, **headers}
    server.answers = lambda _count: (status, body, named)


@pytest.mark.parametrize(
    ("status", "code"), [(401, 6), (403, 6), (404, 3), (409, 4), (412, 4), (422, 2), (500, 1), (503, 5)]
)
def test_each_status_has_its_exit_code_and_is_one_line(asked: Server, run: List, status: int, code: int) -> None:
    says(asked, status, {"detail": "it is so\x1b[2J", "request_id": "r1"})

    found, out, err = run("task", "show", "a")

    assert (found, out) == (code, "")
    (line,) = err.splitlines()
    assert "it is so\\x1b[2J" in line
    assert asked.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(("status", "body"), [(200, ["no", "object"]), (404, {"detail": "nginx"}), (302, {})])
def test_another_server_is_told_from_the_api(asked: Server, run: List, status: int, body: Any) -> None:
    asked.always(body, status)

    code, _, err = run("task", "show", "a")

    assert code == 5
    assert f"answers with {status}, but not as the API does; check --api" in err


def test_nobody_at_the_address_is_exit_5_and_one_line_with_the_setting(asked: Server, run: List) -> None:
    code, _, err = run("task", "list", "--api", "http://127.0.0.1:1")

    assert (code, len(err.splitlines())) == (5, 1)
    assert err.startswith("http://127.0.0.1:1: ")
    assert "TASKQUEUE_API_URL" in err


def test_an_api_that_does_not_answer_in_time_is_given_up(
    asked: Server, run: List, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "_ANSWER_WITHIN", 0.0)

    code, _, err = run("task", "pause", "a")

    assert code == 5
    assert "no answer in time; it may have been carried out" in err


def test_a_quota_that_is_used_up_is_waited_for(asked: Server, run: List) -> None:
    task = {"task_id": "a", "status": "paused", "paused_at": None}
    refused = (429, {"detail": "too many requests"}, {**_PROBLEM, "Retry-After": "0"})
    asked.answers = lambda count: refused if count < 3 else (200, task, {})

    assert run("task", "pause", "a")[0] == 0
    assert len(asked.asked) == 3


def test_a_quota_that_takes_longer_than_a_minute_is_not_waited_for(asked: Server, run: List) -> None:
    says(asked, 429, {"detail": "too many requests"}, **{"Retry-After": "61"})

    code, _, err = run("task", "pause", "a")

    assert (code, len(asked.asked)) == (4, 1)
    assert "try again later" in err


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://host", "http://", "http://me:pw@host", "http://h/?q"])
def test_an_address_that_cannot_be_one_is_exit_2(asked: Server, run: List, address: str) -> None:
    code, _, err = run("task", "list", "--api", address)

    assert (code, err.startswith("--api: "), asked.asked) == (2, True, [])
    assert "pw" not in err


@pytest.mark.parametrize("ending", ["", "/", "/api/v1", "/api/v1/"])
def test_an_address_may_have_the_beginning_of_all_paths(asked: Server, run: List, ending: str) -> None:
    asked.always({"task_id": "a"})

    assert run("task", "show", "a", "--api", asked.url + ending)[0] == 0
    assert asked.asked[0].path == "/api/v1/tasks/a"


@pytest.mark.parametrize("content", ["", "\n", "two words", "caf\u00e9"])
def test_a_token_that_cannot_be_one_is_exit_6_and_not_sent(
    asked: Server, run: List, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")

    code, _, err = run("task", "list", "--token-file", str(file))

    assert (code, asked.asked, len(err.splitlines())) == (6, [], 1)


def test_without_a_token_it_is_exit_6_with_the_remedy(
    asked: Server, run: List, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKQUEUE_TOKEN")

    code, _, err = run("exec", "list", "a")

    assert (code, asked.asked) == (6, [])
    assert "TASKQUEUE_TOKEN" in err
    assert "taskqueue token create" in err


def test_an_unencrypted_address_of_another_host_is_warned_about(
    asked: Server, run: List, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "_CONNECT_WITHIN", 0.05)

    err = run("task", "list", "--api", "http://192.0.2.1:9")[2]

    assert err.splitlines()[0] == "warning: http://192.0.2.1:9: the token goes out unencrypted; use https"


def test_more_than_one_schedule_is_refused_before_anything_is_sent(asked: Server, run: List) -> None:
    code, _, err = run("task", "create", "--cron", "* * * * *", "--at", "2030-01-01T00:00:00Z")

    assert (code, asked.asked) == (2, [])
    assert "a task has one schedule" in err


@pytest.mark.parametrize("option", ["--payload", "--interval"])
@pytest.mark.parametrize("value", ["null", "3", "[]", '"text"'])
def test_what_is_to_be_an_object_and_is_none_is_refused_and_not_left_out(
    asked: Server, run: List, option: str, value: str
) -> None:
    code, _, err = run("task", "update", "a", "--name", "x", option, value)

    assert (code, asked.asked, err.startswith(f"{option}: not an object")) == (2, [], True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "gopher://me:pw@host"),
        ("HTTPS_PROXY", "http://me:pw@host:port"),
        ("NO_PROXY", "[::1"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
    ],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_exit_2_with_their_variables(
    asked: Server, run: List, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)

    code, _, err = run("task", "list", "--api", "https://api.example.com")

    assert (code, len(err.splitlines()), variable in err) == (2, 1, True)
    assert "pw" not in err


def test_a_host_that_cannot_be_the_name_of_one_is_exit_5_and_one_line(asked: Server, run: List) -> None:
    code, _, err = run("task", "list", "--api", "https://xn--")

    assert (code, len(err.splitlines()), err.startswith("https://xn--: ")) == (5, 1, True)
