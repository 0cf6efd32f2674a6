"""A server that runs the real programs, with failpoints: it imports them once and forks for each one it is asked for.

Starting an interpreter takes a hundred times as long as a fork, and hundreds of schedulers are killed. Each order is a
datagram on the socket that is stdin, JSON with three file descriptors; see forked_programs.py for the other end.
FAILPOINT in an order's environment names a moment at which to die, SEEDED_BUG a mistake to make.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

# What a program imports only once it knows its verb; here it is to be there before the fork.
import taskqueue.scheduler.main
import taskqueue.worker.main  # noqa: F401  # as above
from taskqueue.cli.main import main
from tests.support import failpoints, seeded_bugs, worker_bugs

_MAX_ORDER = 1 << 16


def serve(orders: socket.socket) -> None:
    """Fork for each order until the other end is closed, then end everything."""

    def reap(_number: int, _frame: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                _answer(orders, ended=ended[0], code=os.waitstatus_to_exitcode(ended[1]))

    signal.signal(signal.SIGCHLD, reap)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _MAX_ORDER, 3)
        if not order:
            os.killpg(0, signal.SIGKILL)
        # A child that ends at once must not be told of before it is known.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            orders.close()
            _run(json.loads(order), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _answer(orders, started=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _answer(orders: socket.socket, **words: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: the next order is the end
        orders.send(json.dumps(words).encode())


def _run(order: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Become the program. Ends with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    # Those that were there know of another file: whether it can be sought, and what it is for.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["directory"])
    code = 1
    try:
        if bug := os.environ.get(seeded_bugs.VARIABLE):
            {**seeded_bugs.BUGS, **worker_bugs.BUGS}[bug]()
        worker_bugs.shorten_claims(os.environ)
        failpoints.listen()
        main(order["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the outermost frame of a program, where Python itself would do this
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)))
