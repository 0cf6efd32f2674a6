"""Calls of tasks made through the API reach nothing but the public Internet, however the address is written or found.

Every vector runs the whole client against a socket that listens on all addresses of this machine, so that it would
accept whatever the guard let through; the resolver answers what the test wants.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from taskqueue.core.addresses import AddressPolicy, PortRange, parse_rule
from taskqueue.core.error_codes import ErrorCode
from taskqueue.worker import http_connection
from taskqueue.worker.guard import BlockedAddressError, Guard, Guards
from taskqueue.worker.http_call import CallResult, HttpCaller, HttpRequest
from taskqueue.worker.http_connection import AddressInfo
from tests.support.raw_endpoint import Script
from tests.support.ssrf_vectors import LITERALS, LOCAL_NAMES, NAMES, NOTATIONS, REACHING, VECTORS

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Resolver:
    """Answers from `names`; where a name has several lists, each look-up gets the next one, the last for ever."""

    def __init__(self, names: Mapping[str, Sequence[str] | Sequence[Sequence[str]]]) -> None:
        self.lookups: list[str] = []
        self._names = names

    async def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        self.lookups.append(host)
        answers = self._names.get(host.rstrip("."), ())
        if answers and not isinstance(answers[0], str):
            answers = answers[min(self.lookups.count(host), len(answers)) - 1]
        if answers:
            return [_info(str(answer), port) for answer in answers]
        loop = asyncio.get_running_loop()
        # Every notation of an address that the system understands, and no name.
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def _info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


class Listener:
    """A socket that listens on all addresses of this machine and answers nobody."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def reached(self) -> bool:
        """Return whether a connection was made since it was last asked, were it over already."""
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return False
        connection.close()
        return True

    async def take(self) -> None:
        """Wait for a connection, and end it."""
        async with asyncio.timeout(10):
            connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@asynccontextmanager
async def calling(guards: Guards, names: Mapping[str, Any] = NAMES) -> AsyncIterator[tuple[HttpCaller, Resolver]]:
    resolver = Resolver(names)
    caller = HttpCaller(user_agent="taskqueue/test", connect_timeout_s=2, guards=guards, resolve=resolver)
    await caller.start()
    try:
        yield caller, resolver
    finally:
        await caller.stop()


def guards(*ports: int, allow: str = "", deny: str = "") -> Guards:
    """Return guards of whom only those of the API judge strictly, and who leave `ports` open beside 80 and 443."""
    opened = tuple(PortRange(first=port, last=port) for port in (80, 443, *ports))
    allowed, denied = tuple(map(parse_rule, allow.split())), tuple(map(parse_rule, deny.split()))
    strict = Guard(AddressPolicy(allow=allowed, deny=denied, ports=opened))
    return Guards(api=strict, file=Guard(AddressPolicy(deny=denied, strict=False)) if denied else None)


async def call(caller: HttpCaller, url: str, *, guarded: bool = True, deadline_s: float = 5) -> CallResult:
    request = HttpRequest(method="POST", url=url, body=b"{}")
    return await caller.call(request, deadline_s=deadline_s, max_response_bytes=1000, guarded=guarded)


async def reach(listener: Listener, caller: HttpCaller, url: str, *, guarded: bool = True) -> None:
    """Call, and fail unless the call reaches the listener."""
    calling = asyncio.create_task(call(caller, url.format(port=listener.port), guarded=guarded, deadline_s=20))
    try:
        await listener.take()
    finally:
        calling.cancel()
        await asyncio.wait((calling,))


@dataclass(slots=True)
class Endpoint:
    """An HTTP endpoint on one address, which counts its connections and its requests."""

    port: int = 0
    connections: int = 0
    requests: int = 0


@asynccontextmanager
async def endpoint(address: str, port: int = 0, answer: bytes = OK) -> AsyncIterator[Endpoint]:
    seen = Endpoint()
    server = await asyncio.start_server(_serving(seen, answer), address, port)
    seen.port = server.sockets[0].getsockname()[1]
    async with server:
        yield seen


def _serving(seen: Endpoint, answer: bytes) -> Script:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                seen.requests += 1
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return serve


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS)
async def test_a_guarded_call_reaches_nothing_of_ours(vector: str, listener: Listener) -> None:
    async with calling(guards(listener.port)) as (caller, _):
        result = await call(caller, vector.format(port=listener.port))

    assert not listener.reached()
    assert result.status is None
    assert result.failure is not None
    assert result.failure.code in {ErrorCode.BLOCKED_ADDRESS, ErrorCode.INVALID_REQUEST}
    assert result.failure.sent == "not_sent"


@pytest.mark.parametrize("vector", REACHING)
async def test_without_the_guard_these_vectors_do_reach_it(vector: str, listener: Listener) -> None:
    async with calling(guards()) as (caller, _):
        await reach(listener, caller, vector, guarded=False)


@pytest.mark.parametrize("vector", REACHING)
async def test_what_is_denied_is_denied_to_tasks_of_the_file_as_well(vector: str, listener: Listener) -> None:
    async with calling(guards(deny="127.0.0.0/8 ::1")) as (caller, _):
        result = await call(caller, vector.format(port=listener.port), guarded=False)

    assert not listener.reached()
    assert result.failure is not None
    assert result.failure.code == ErrorCode.BLOCKED_ADDRESS


@pytest.mark.parametrize("host", [*LOCAL_NAMES, *NOTATIONS, *LITERALS])
async def test_what_is_known_by_its_name_is_refused_without_a_lookup(host: str, listener: Listener) -> None:
    async with calling(guards(listener.port)) as (caller, resolver):
        await call(caller, f"http://{host}:{listener.port}/")

    assert resolver.lookups == []


def test_there_are_at_least_sixty_vectors_none_of_them_twice() -> None:
    assert len(set(VECTORS)) == len(VECTORS) >= 60


# --- the lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("127.0.0.0/8", "http://127.0.0.1:{port}/"),
        ("127.0.0.1", "http://loopback.example:{port}/"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:{port}/"),
        ("::1", "http://[::1]:{port}/"),
        ("loopback.example", "http://loopback.example:{port}/"),
        (".example", "http://LOOPBACK.example.:{port}/"),
        ("localhost", "http://localhost:{port}/"),
    ],
)
async def test_what_is_allowed_is_reached(allow: str, url: str, listener: Listener) -> None:
    async with calling(guards(listener.port, allow=allow)) as (caller, _):
        await reach(listener, caller, url)


async def test_an_entry_with_a_port_opens_that_port(listener: Listener) -> None:
    async with calling(guards(allow=f"127.0.0.1:{listener.port}")) as (caller, _):
        await reach(listener, caller, "http://loopback.example:{port}/")


async def test_an_allowed_address_is_not_called_on_a_port_that_is_closed(listener: Listener) -> None:
    async with calling(guards(allow="127.0.0.0/8 loopback.example")) as (caller, _):
        result = await call(caller, f"http://loopback.example:{listener.port}/")

    assert not listener.reached()
    assert result.failure is not None
    assert f"port {listener.port}, which is closed" in result.failure.message


async def test_the_message_names_host_and_remedy_and_neither_path_nor_address() -> None:
    async with calling(guards()) as (caller, _):
        result = await call(caller, "http://private.example/secret/path?token=secret")

    assert result.failure is not None
    assert result.failure.message == (
        "private.example: leads to a private address; name it in guard.allow in worker.yaml if that is meant"
    )


async def test_a_caller_without_guards_of_its_own_guards_tasks_of_the_api_all_the_same(listener: Listener) -> None:
    caller = HttpCaller(user_agent="taskqueue/test")
    await caller.start()
    result = await call(caller, f"http://127.0.0.1:{listener.port}/")
    await caller.stop()

    assert not listener.reached()
    assert result.failure is not None
    assert result.failure.code == ErrorCode.BLOCKED_ADDRESS


# --- time: rebinding, redirects, what is kept -------------------------------------------------------------------------


async def test_the_address_that_was_judged_is_the_one_that_is_called(listener: Listener) -> None:
    """The name has a good address for whoever judges it, and a bad one for whoever would look it up again."""
    async with endpoint("127.0.0.9") as good:
        names = {"rebinding.example": [["127.0.0.9"], ["127.0.0.1"]]}
        async with calling(guards(good.port, allow="127.0.0.9"), names) as (caller, resolver):
            result = await call(caller, f"http://rebinding.example:{good.port}/")

    assert result.status == 200
    assert (good.requests, resolver.lookups) == (1, ["rebinding.example"])


async def test_a_name_that_turns_to_another_address_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "_RESOLVED_FOR_S", 0.0)
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    names = {"rebinding.example": [["127.0.0.9"], ["127.0.0.1"]]}
    async with (
        endpoint("127.0.0.9", answer=closing) as good,
        endpoint("127.0.0.1", good.port) as bad,
        calling(guards(good.port, allow="127.0.0.9"), names) as (caller, resolver),
    ):
        url = f"http://rebinding.example:{good.port}/"
        first, second = await call(caller, url), await call(caller, url)

    assert first.status == 200
    assert second.failure is not None
    assert second.failure.code == ErrorCode.BLOCKED_ADDRESS
    assert len(resolver.lookups) == 2
    assert bad.connections == 0


async def test_a_redirect_to_a_blocked_address_is_an_answer_and_not_followed(listener: Listener) -> None:
    location = f"Location: http://127.0.0.1:{listener.port}/\r\n".encode()
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n" + location + b"\r\n"
    async with (
        endpoint("127.0.0.9", answer=moved) as good,
        calling(guards(good.port, listener.port, allow="127.0.0.9")) as (caller, _),
    ):
        result = await call(caller, f"http://127.0.0.9:{good.port}/")

    assert result.status == 307
    assert not listener.reached()


async def test_a_kept_connection_of_a_task_that_is_not_guarded_serves_no_guarded_one() -> None:
    async with endpoint("127.0.0.1") as ours, calling(guards(ours.port)) as (caller, resolver):
        url = f"http://loopback.example:{ours.port}/"
        trusted = await call(caller, url, guarded=False)
        guarded = await call(caller, url)

    assert trusted.status == 200
    assert guarded.failure is not None
    assert guarded.failure.code == ErrorCode.BLOCKED_ADDRESS
    assert (ours.connections, ours.requests) == (1, 1)
    assert len(resolver.lookups) == 2


async def test_guarded_calls_keep_connections_among_themselves() -> None:
    async with endpoint("127.0.0.9") as good, calling(guards(good.port, allow="127.0.0.9")) as (caller, _):
        results = [await call(caller, f"http://127.0.0.9:{good.port}/") for _ in range(3)]

    assert [result.status for result in results] == [200, 200, 200]
    assert (good.connections, good.requests) == (1, 3)


class PeerRefused(Guard):
    """Takes every address for good but that of the peer, once connected."""

    def __init__(self) -> None:
        super().__init__(AddressPolicy())
        self.judged: list[list[Any]] = []

    def check_host(self, host: str, port: int) -> None:
        """Take any host."""

    def check_addresses(self, host: str, addresses: Any) -> None:
        self.judged.append([literal for literal, *_ in addresses])
        if len(self.judged) > 1:
            raise BlockedAddressError("leads elsewhere")


async def test_a_connection_that_leads_elsewhere_than_it_was_dialled_carries_no_request() -> None:
    guard = PeerRefused()
    async with endpoint("127.0.0.1") as ours, calling(Guards(api=guard)) as (caller, _):
        result = await call(caller, f"http://127.0.0.1:{ours.port}/")

    assert result.failure is not None
    assert (result.failure.code, result.failure.sent) == (ErrorCode.BLOCKED_ADDRESS, "not_sent")
    assert guard.judged == [["127.0.0.1"], ["127.0.0.1"]]
    assert ours.requests == 0
