"""Short questions over TCP: does RabbitMQ, does Redis answer there? No client library needed, none imported."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

#: what a client says first in AMQP 0-9-1 (specification section 4.2.2)
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_AMQP_METHOD_FRAME = b"\x01"

#: seconds for one answer
_TIMEOUT = 1.0

#: seconds between two looks
_POLL = 0.1


def port_answers(host: str, port: int) -> bool:
    """Return whether something accepts connections at `host`:`port`."""
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT).close()
    except OSError:
        return False
    return True


def amqp_answers(host: str, port: int) -> bool:
    """Return whether an AMQP 0-9-1 broker opens its handshake at `host`:`port`.

    RabbitMQ does so only when it has booted: its listeners come last.
    """
    return _answer(host, port, _AMQP_HEADER).startswith(_AMQP_METHOD_FRAME)


def redis_answers(host: str, port: int) -> bool:
    """Return whether Redis answers at `host`:`port`; asking for a password is an answer, still loading is none."""
    return _answer(host, port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


def _answer(host: str, port: int, question: bytes) -> bytes:
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT) as connection:
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""


def await_answer(answers: Callable[[str, int], bool], host: str, port: int, *, deadline: float) -> bool:
    """Ask again and again, for at most `deadline` seconds, and return whether the answer came."""
    give_up = time.monotonic() + deadline
    while not answers(host, port):
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL)
    return True
