"""`taskqueue health`: does the process answer? For the probes of containers, which have no curl."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import SHUT_RDWR, socket
from threading import Timer
from typing import Annotated
from urllib.parse import urlsplit

import typer

from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.terminal import printable
from taskqueue.errors import ConfigError

#: where scheduler, worker and API listen unless told otherwise
_USUAL_PORTS = (8080, 8081, 8000)

#: bytes of an answer that are looked at
_MOST_READ = 65_536

_OK = 200


def health(
    url: Annotated[
        str | None,
        typer.Argument(help="What to ask; /livez on this host, at --port or all the usual ones, when left out."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, envvar="TASKQUEUE_SERVER__PORT", help="Which port of this host.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60.0, help="Seconds for connection and answer, each.")] = 3.0,
) -> None:
    """Ask a scheduler, worker or API whether it is alive, or with .../readyz whether it is ready.

    Exit 0 when it answers with 200, 1 when it answers otherwise or not at all, 2 for wrong usage. Where several listen
    at the usual ports, all of them have to answer with 200.
    """
    asked = {place: _ask(place, timeout) for place in ([url] if url is not None else _usual_places(port))}
    there = {place: answer for place, answer in asked.items() if not answer.nobody}
    for place, answer in (there or asked).items():
        typer.echo(f"{place}: {printable(answer.text)}".rstrip(), err=not answer.ok)
    alive = there and all(answer.ok for answer in there.values())
    raise typer.Exit(ExitCode.DONE if alive else ExitCode.FAILED)


def _usual_places(port: int | None) -> list[str]:
    ports = (port,) if port is not None else _USUAL_PORTS
    return [f"http://127.0.0.1:{each}/livez" for each in ports]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came of asking one place: status and answer, or why there is none. `nobody`: nothing listens there."""

    text: str
    ok: bool = False
    nobody: bool = False


def _ask(url: str, timeout: float) -> _Answer:
    """Return what answers at `url`. Raises ConfigError for a bad URL."""
    connection, target = _connection(url, timeout)
    try:
        connection.connect()
        with _hung_up_after(timeout, connection.sock):
            connection.request("GET", target, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(_MOST_READ)
        text = f"{answer.status} {body.decode('utf-8', 'replace').strip()}"
        return _Answer(text=text, ok=answer.status == _OK)
    except TimeoutError:
        return _Answer(text=f"no answer within {timeout:g} s")
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        return _Answer(text=text, nobody=isinstance(error, ConnectionRefusedError))
    except HTTPException as error:
        return _Answer(text=f"no HTTP answer ({type(error).__name__})")
    finally:
        connection.close()


@contextmanager
def _hung_up_after(seconds: float, connected: socket) -> Iterator[None]:
    """Raise TimeoutError where the block takes longer: the socket's own time-out begins anew with each byte."""
    deadline = time.monotonic() + seconds
    timer = Timer(seconds, _hang_up, [connected])
    timer.daemon = True
    timer.start()
    try:
        yield
    except (HTTPException, OSError):
        if time.monotonic() < deadline:
            raise
    finally:
        timer.cancel()
    if time.monotonic() >= deadline:
        raise TimeoutError


def _hang_up(connected: socket) -> None:
    with suppress(OSError):  # it has ended already
        connected.shutdown(SHUT_RDWR)


def _connection(url: str, timeout: float) -> tuple[HTTPConnection, str]:
    kinds = {"http": HTTPConnection, "https": HTTPSConnection}
    try:
        parts = urlsplit(url)
        kind, host, port = kinds.get(parts.scheme), parts.hostname, parts.port
    except ValueError:
        raise _unusable(url) from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if kind is None or not host or not target.isascii() or not target.isprintable() or " " in target:
        raise _unusable(url)
    return kind(host, port, timeout=timeout), target


def _unusable(url: str) -> ConfigError:
    return ConfigError(f"{printable(url)}: not a URL to ask; use http://host:port/livez or /readyz")
