"""Each way a call can go is met by a real call, and judged as tests/support/error_matrix.py says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.codec import MAX_BODY_BYTES, decode_message
from taskqueue.core.error_codes import ERRORS, ErrorCode, FailReason, RetryClass
from taskqueue.core.execution import ErrorDetail
from taskqueue.core.outcome import Outcome, OutcomeClass, outcome_of_status
from taskqueue.core.retry import Cancel, Complete, Fail, Retry, decide
from taskqueue.core.task import Target
from taskqueue.errors import MessageError
from taskqueue.runtime import run, utc_now
from taskqueue.store.jobs import Admission, JobStore, Verdict
from taskqueue.store.limits import Limits
from taskqueue.worker.attempt import Attempt, AttemptDefaults, Caller
from taskqueue.worker.handle import Handler, HandleTerms
from taskqueue.worker.http_call import HttpCaller, HttpRequest
from taskqueue.worker.http_connection import AddressInfo, Connection, Origin
from taskqueue.worker.live_limits import LiveLimits
from taskqueue.worker.perseverance import Perseverance
from taskqueue.worker.references import References
from tests.support.error_matrix import CANARY, SLOW_NAME, UNKNOWN_NAME, Case, all_cases
from tests.support.fakes import JOB, TASK, message, some_hosts
from tests.support.raw_endpoint import raw_endpoint
from tests.support.sick_endpoints import AUTHORITY, answering, resets, scripted

CAP = 100_000


async def resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Look up `host` as the system does, but two names as no test's network would."""
    if host == UNKNOWN_NAME:
        raise socket.gaierror(socket.EAI_NONAME, "canary")
    if host == SLOW_NAME:
        await asyncio.Event().wait()
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def defaults(case: Case) -> AttemptDefaults:
    return AttemptDefaults(
        timeout=timedelta(seconds=case.deadline_s),
        max_retries=3,
        retry_delay=timedelta(minutes=1),
        max_retry_delay=timedelta(hours=1),
        max_response_bytes=CAP,
    )


def handler(caller: Caller, terms: AttemptDefaults) -> Handler:
    return Handler(
        cast(JobStore, None),  # what is looked at follows from the attempt, or from an admission, alone
        caller,
        HandleTerms(
            worker_id="worker-1",
            limits=LiveLimits(Limits()),
            hosts=some_hosts(),
            heartbeat_ttl=timedelta(seconds=15),
            sleepers=1,
            defaults=terms,
        ),
        Perseverance(asyncio.Event()),
        stopping=asyncio.Event(),
        now=utc_now,
        jitter=lambda: 0.5,
        emit=lambda _event: None,
    )


@asynccontextmanager
async def calling(case: Case) -> AsyncIterator[Caller]:
    http = HttpCaller(user_agent="taskqueue/test", connect_timeout_s=case.connect_s, resolve=resolve)
    await http.start()
    try:
        if case.late:
            _use_late(http)
        yield Caller(http, References({}), defaults(case), now=utc_now)
    finally:
        await http.stop()


def _use_late(http: HttpCaller) -> None:
    """Let each connection be used only when its server has ended it, which otherwise is a matter of microseconds."""
    pool = http._pool
    assert pool is not None
    dial = pool.dial

    async def dial_and_wait(origin: Origin) -> Connection:
        connection = await dial(origin)
        async with asyncio.timeout(10):
            while connection.usable:  # noqa: ASYNC110 - a connection that ends tells only whoever waits for an answer
                await asyncio.sleep(0)
        return connection

    pool.dial = dial_and_wait  # type: ignore[method-assign]


async def attempt(case: Case, caller: Caller, url: str) -> Attempt:
    """Make the call of `case`; the path, the query and a header hold what no message may repeat."""
    headers = {"X-Secret": CANARY, **case.headers}
    task = replace(
        TASK, target=Target(endpoint=f"{url}/{CANARY}?token={CANARY}", headers=headers), source=case.source, retries=3
    )
    job = replace(JOB, payload=case.payload)
    call = asyncio.create_task(caller.call(task, job, started_at=utc_now()))
    if case.meanwhile is not None:
        await _reached(caller, case.expected.sent)
        caller.cut() if case.meanwhile == "stop" else caller.cancel(job.id)
    async with asyncio.timeout(case.deadline_s + 20):
        return await call


async def _reached(caller: Caller, sent: str) -> None:
    """Wait until the call under way has got so far."""
    async with asyncio.timeout(10):
        while not any(  # noqa: ASYNC110 - a call tells nobody how far it is
            call._sent == sent and call._dialling is not None for call in caller._under_way.values()
        ):
            await asyncio.sleep(0)


def classed(case: Case, outcome: Outcome) -> RetryClass | None:
    """Return what `decide` makes of the outcome, for tasks with and without `retry_unknown: false`."""
    decisions = [
        decide(
            replace(defaults(case).policy_of(TASK), retry_unknown=retry_unknown),
            attempt=1,
            outcome=outcome,
            execute_after=JOB.execute_after,
            now=JOB.execute_after,
            jitter=0.5,
        )
        for retry_unknown in (True, False)
    ]
    match decisions:
        case [Complete(), Complete()]:
            return None
        case [Retry(), Retry()]:
            return RetryClass.RETRYABLE
        case [Retry(), Fail(reason=FailReason.EFFECT_UNKNOWN)]:
            return RetryClass.UNKNOWN_EFFECT
        case [Fail(reason=FailReason.PERMANENT), Fail(reason=FailReason.PERMANENT)] | [Cancel(), Cancel()]:
            return RetryClass.PERMANENT
        case _:
            raise AssertionError(decisions)


async def judged(case: Case) -> tuple[Attempt, ErrorDetail | None]:
    """Make the call of `case`; return the attempt, and the detail that its record would hold."""
    async with case.endpoint() as url, calling(case) as caller:
        made = await attempt(case, caller, url)
        decision = decide(
            defaults(case).policy_of(TASK),
            attempt=1,
            outcome=made.outcome,
            execute_after=JOB.execute_after,
            now=JOB.execute_after,
            jitter=0.5,
        )
        return made, handler(caller, defaults(case))._record(message(), made, decision).error


def check(case: Case, made: Attempt, error: ErrorDetail | None) -> None:
    expected = case.expected
    assert (made.outcome.code or None, classed(case, made.outcome)) == (expected.code, expected.retry)
    assert made.outcome.effect_unknown is (expected.sent == "unknown")
    assert made.outcome.status == (expected.status if expected.sent == "answered" else None)
    assert (made.response is not None) is (expected.status is not None)
    broken_off = expected.sent != "answered" and expected.status is not None
    assert made.truncated is (expected.truncated or broken_off)
    if expected.code is None:
        assert error is None
        return
    retry = expected.retry is not RetryClass.PERMANENT
    assert error == ErrorDetail(code=expected.code, message=made.outcome.message, retry=retry)
    assert error.message
    assert CANARY not in error.message


CASES = [pytest.param(case, id=case.what) for case in all_cases()]


@pytest.fixture(autouse=True)
def _trusted_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))


@pytest.mark.parametrize("case", CASES)
async def test_a_call_that_goes_this_way_has_its_code_its_class_and_its_detail(case: Case) -> None:
    check(case, *await judged(case))


@pytest.mark.parametrize("case", CASES)
async def test_the_loop_that_workers_run_on_makes_no_difference(case: Case) -> None:
    check(case, *await asyncio.to_thread(run, lambda: judged(case)))


def test_each_code_of_a_call_is_met_by_a_case_with_each_reach_that_its_row_names() -> None:
    met = {(case.expected.code, case.expected.sent) for case in all_cases()}
    without_call = {
        *(ErrorCode.EXPIRED, ErrorCode.WORKER_LOST, ErrorCode.UNKNOWN_TASK),
        *(ErrorCode.MALFORMED, ErrorCode.OVERSIZED, ErrorCode.UNKNOWN_VERSION),
    }

    missing = [
        (code.value, sent)
        for code, row in ERRORS.items()
        if code not in without_call
        for sent in row.sent
        if (code, sent) not in met
    ]
    assert missing == []


def test_each_case_agrees_with_the_row_of_its_code() -> None:
    for case in all_cases():
        expected = case.expected
        if expected.code in list(ErrorCode) and expected.sent != "answered":
            row = ERRORS[ErrorCode(expected.code)]
            assert expected.sent in row.sent, case.what
            assert expected.retry is row.retry_class(expected.sent), case.what


async def test_each_status_is_an_answer_and_classed_by_its_number_alone() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %s canary\r\nContent-Length: 0\r\n\r\n" % head.split()[1].strip(b"/"))

    http = HttpCaller(user_agent="taskqueue/test")
    await http.start()
    try:
        async with raw_endpoint(echo) as url:
            for status in range(200, 600):
                request = HttpRequest(method="GET", url=f"{url}/{status}")
                result = await http.call(request, deadline_s=10, max_response_bytes=CAP)
                outcome = outcome_of_status(status)
                assert (result.status, result.failure) == (status, None)
                assert (outcome.kind is OutcomeClass.SUCCESS) is (status < 300)
                assert outcome.code == ("" if status < 300 else f"http_{status}")
    finally:
        await http.stop()


_PIECES = st.sampled_from(
    [
        *(
            b"HTTP/1.1 ",
            b"HTTP/1.0 ",
            b"HTTP/9.9 ",
            b"200 OK\r\n",
            b"404 no\r\n",
            b"100 on\r\n",
            b"101 up\r\n",
            b"204 -\r\n",
        ),
        *(b"Content-Length: 2\r\n", b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(
            b"Transfer-Encoding: gzip\r\n",
            b"Connection: close\r\n",
            b"Upgrade: h2c\r\nConnection: upgrade\r\n",
            b"\r\n",
        ),
        *(b"2\r\nok\r\n", b"0\r\n\r\n", b"ok", b"\n", b"\r", b"\x00", b" ", b":", b"\xff"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(_PIECES | st.binary(max_size=8), max_size=12), reset=st.booleans())
async def test_whatever_a_server_says_is_an_answer_or_a_failure_that_has_a_row(
    pieces: list[bytes], reset: bool
) -> None:
    said = b"".join(pieces)
    http = HttpCaller(user_agent="taskqueue/test")
    await http.start()
    try:
        async with (scripted(resets(said)) if reset else answering(said))() as url:
            result = await http.call(HttpRequest(method="POST", url=url), deadline_s=30, max_response_bytes=CAP)
    finally:
        await http.stop()

    if result.failure is None:
        assert result.status is not None
    else:
        assert result.failure.code in {ErrorCode.PROTOCOL_ERROR, ErrorCode.CONNECTION_RESET}
        assert result.failure.sent == "unknown"
        assert result.status is None or result.status < 400


# --- failures without a call ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [ErrorCode.EXPIRED, ErrorCode.WORKER_LOST])
async def test_a_job_that_admission_ends_says_why(code: ErrorCode) -> None:
    judge = handler(cast(Caller, None), defaults(next(all_cases())))
    admission = Admission(verdict=Verdict.FAIL, milliseconds=0, word=code.value)

    handled = judge._turned_away(JOB, admission, timedelta(hours=1))

    assert isinstance(handled.decision, Fail)
    assert (handled.decision.reason, handled.decision.code) == (FailReason(code), code)
    assert handled.record is not None
    assert handled.record.error == ErrorDetail(code=code, message=handled.decision.detail, retry=False)


async def test_a_job_of_no_task_says_so() -> None:
    handled = handler(cast(Caller, None), defaults(next(all_cases()))).unknown_task(JOB)

    assert isinstance(handled.decision, Fail)
    assert (handled.decision.reason, handled.decision.code) == (FailReason.UNKNOWN_TASK, ErrorCode.UNKNOWN_TASK)
    assert handled.record is not None
    assert handled.record.error == ErrorDetail(
        code=ErrorCode.UNKNOWN_TASK, message=handled.decision.detail, retry=False
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"canary", ErrorCode.MALFORMED),
        (b"x" * (MAX_BODY_BYTES + 1), ErrorCode.OVERSIZED),
        (b'{"version":"9.0","job":{},"metadata":{}}', ErrorCode.UNKNOWN_VERSION),
    ],
)
def test_a_message_that_cannot_be_read_says_why(body: bytes, code: ErrorCode) -> None:
    with pytest.raises(MessageError) as raised:
        decode_message(body, MAX_BODY_BYTES)

    assert (raised.value.reason, FailReason(raised.value.reason)) == (code, FailReason(code))
    assert CANARY not in raised.value.detail
