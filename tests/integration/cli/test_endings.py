"""How verbs end where something is in the way: a reader that has left, services that are mute or say no."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from taskqueue.broker import connection
from taskqueue.cli.main import main
from taskqueue.store import connection as store_connection
from tests.support.failed_pile import FailedPile
from tests.support.terminal import at_terminal

_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def mute() -> Iterator[str]:
    """`host:port` of somebody who takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code


def to_nobody(*arguments: str) -> tuple[int, bytes]:
    """Run the command into a pipe that its reader has left; return its exit code and what it says of that."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [str(Path(sys.executable).with_name("taskqueue")), *arguments]
    completed = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    return completed.returncode, completed.stderr


def dialled(listener: socket.socket) -> int:
    """Return how often a listener that takes no connection was dialled."""
    listener.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


# --- a reader that has left -------------------------------------------------------------------------------------------


def test_a_list_of_users_into_a_closed_pipe_ends_quietly(store: redis.Redis) -> None:
    store.hset("taskqueue:users:ada:tasks", "daily_report", "1")

    assert to_nobody("users", "list") == (1, b"")


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_list_of_failures_into_a_closed_pipe_ends_quietly(pile: FailedPile, output: str) -> None:
    pile.add(1)

    assert to_nobody("failed", "list", "-o", output) == (1, b"")


# --- services that do not answer --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("arguments", [["limits", "show"], ["failed", "stats"]])
def test_a_mute_service_is_one_line_with_its_address_and_setting_within_10_s(
    arguments: list[str], mute: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKQUEUE_REDIS__ADDRESSES", json.dumps([mute]))
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", f"amqp://me:hunter2@{mute}/")
    began = time.monotonic()

    assert run(*arguments) == 5

    (line,) = capsys.readouterr().err.splitlines()
    assert time.monotonic() - began < _WITHIN_S
    assert mute in line
    assert "TASKQUEUE_" in line
    assert "hunter2" not in line


def test_several_mute_nodes_of_rabbitmq_share_the_time_that_one_has(
    mute: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_ANY_TIMEOUT", 1.5)
    urls = [word for name in "abc" for word in ("--url", f"amqp://{mute}/{name}")]
    began = time.monotonic()

    assert run("topology", "apply", *urls) == 5

    assert 1.4 < time.monotonic() - began < 5
    assert capsys.readouterr().err.count(mute) == 3


@pytest.mark.usefixtures("directory")
def test_a_cancel_asks_a_mute_redis_twice_however_often_a_process_would(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_connection, "COMMAND_TIMEOUT_S", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        monkeypatch.setenv("TASKQUEUE_REDIS__ADDRESSES", json.dumps([f"127.0.0.1:{listener.getsockname()[1]}"]))

        assert run("exec", "cancel", "6f9d1c52-0b7e-5a3c-8f41-2d5be0a7c913") == 5

        assert dialled(listener) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.usefixtures("store")
def test_one_picture_is_not_held_up_twice_by_a_mute_rabbitmq(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_ANY_TIMEOUT", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        monkeypatch.setenv("TASKQUEUE_QUEUE__URL", f"amqp://127.0.0.1:{listener.getsockname()[1]}/")

        assert run("top", "--once") == 5

        assert dialled(listener) == 1
    seen = json.loads(capsys.readouterr().out)
    assert (seen["away"]["redis"], seen["queues"], seen["workers"]) == (None, None, [])


# --- services that say no ---------------------------------------------------------------------------------------------


def test_a_wrong_password_of_rabbitmq_is_exit_6(amqp_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    parts = urlsplit(amqp_url)
    url = parts._replace(netloc=f"{parts.username or 'guest'}:hunter2@{parts.hostname}:{parts.port}").geturl()

    assert run("topology", "apply", "--url", url) == 6

    (line,) = capsys.readouterr().err.splitlines()
    assert "ACCESS_REFUSED" in line
    assert "hunter2" not in line


def test_a_virtual_host_that_is_not_there_is_named(amqp_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = urlsplit(amqp_url)._replace(path="/nowhere").geturl()

    assert run("topology", "apply", "--url", url) == 5
    assert "/nowhere: connecting: RabbitMQ closed it at the virtual host" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_a_wrong_password_of_redis_is_exit_6(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKQUEUE_REDIS__USERNAME", "nobody")
    monkeypatch.setenv("TASKQUEUE_REDIS__PASSWORD", "hunter2")

    assert run("limits", "show") == 6

    (line,) = capsys.readouterr().err.splitlines()
    assert "check redis.username and redis.password" in line
    assert "hunter2" not in line


# --- a narrow terminal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 120])
def test_a_user_is_shown_on_a_terminal_of_any_width(store: redis.Redis, directory: Path, columns: int) -> None:
    store.hset("taskqueue:users:ada:tasks", "daily_report", "1")

    ended = at_terminal("users", "show", "ada", columns=columns, directory=directory)

    assert (ended.code, max(map(len, ended.lines)) <= columns) == (0, True)
    said = " ".join(" ".join(ended.lines).split())
    assert "user ada" in said
    assert "own switch is on" in said
    # In columns where they fit, else field by field.
    assert ("because own switch is on" in said) is (columns == 40)
