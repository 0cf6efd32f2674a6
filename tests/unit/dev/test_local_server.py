"""taskqueue/dev/local_server.py, on small shell programs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskqueue.dev.local_server import LocalServer, free_ports, ports_near
from taskqueue.dev.probe import await_answer
from taskqueue.errors import ServiceError

MakeServer = Callable[..., LocalServer]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    made: list[LocalServer] = []

    def make(script: str, *, deadline: float = 10.0) -> LocalServer:
        made.append(
            LocalServer(
                name="small",
                command=["/bin/sh", "-c", script],
                environment={"PATH": "/usr/bin:/bin"},
                directory=tmp_path,
                ready=(tmp_path / "ready").exists,
                deadline=deadline,
            )
        )
        return made[-1]

    yield make
    for server in made:
        server.kill()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # where a container's first process reaps no orphans they stay as zombies
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def _ended(pid: int) -> bool:
    return await_answer(lambda _host, number: not _alive(number), "", pid, deadline=5)


def test_start_returns_when_the_server_is_ready(make_server: MakeServer) -> None:
    server = make_server("touch ready; sleep 60")

    server.start()

    assert server.running


def test_a_server_that_is_never_ready_is_ended(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server("echo $$ > pid; echo still thinking; sleep 60", deadline=0.3)

    with pytest.raises(ServiceError, match="still thinking"):
        server.start()

    assert not server.running
    assert _ended(int((tmp_path / "pid").read_text()))


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(make_server: MakeServer) -> None:
    with pytest.raises(ServiceError, match="no such thing"):
        make_server("echo no such thing >&2; exit 3").start()


def test_stop_lets_the_server_end_in_its_own_way(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server("trap 'echo bye > goodbye; exit 0' TERM; touch ready; while :; do sleep 0.05; done")
    server.start()

    server.stop()

    assert (tmp_path / "goodbye").read_text() == "bye\n"
    assert not server.running


def test_kill_takes_the_children_as_well(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server("sleep 60 & echo $! > child; touch ready; wait")
    server.start()

    server.kill()

    assert _ended(int((tmp_path / "child").read_text()))


def test_a_killed_server_starts_again(make_server: MakeServer) -> None:
    server = make_server("touch ready; sleep 60")
    server.start()
    server.kill()

    server.start()

    assert server.running


def test_the_server_sees_only_its_own_environment(make_server: MakeServer, tmp_path: Path) -> None:
    make_server("env > seen; touch ready; sleep 60").start()

    names = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}


def test_free_ports_are_different_and_outside_the_range_of_outgoing_connections() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(10_240 <= port < 32_768 for port in ports)


def test_ports_that_are_free_are_taken_as_they_are() -> None:
    wanted = free_ports(3)
    assert ports_near(wanted, avoid=1) == wanted


def test_a_port_that_another_one_has_or_will_have_is_replaced() -> None:
    avoided, busy, free = free_ports(3)
    with socket.create_server(("127.0.0.1", busy)):
        found = ports_near((avoided, busy, free), avoid=avoided)
    assert found[2] == free
    assert len({avoided, busy, *found}) == 5
