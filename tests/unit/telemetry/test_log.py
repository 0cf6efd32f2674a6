import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.errors import ConfigError
from taskqueue.telemetry import api_events, events, scheduler_events, worker_events
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.log import MAX_FIELD_CHARS, configure_logging, level_of, safe_value

ENDED = worker_events.AttemptEnded(
    task="report",
    job_id="j-1",
    user_id="ärger\nmit: user",
    attempt=2,
    outcome_class="success",
    status=200,
    duration_s=0.25,
)


def planned(*, users: int, redis_was_empty: bool) -> Event:
    """Return what is told of a plan."""
    at = datetime(2024, 1, 15, 10, tzinfo=UTC)
    return scheduler_events.OccurrencePlanned(
        task="t", cohort="", scheduled_at=at, users=users, seconds=0, redis_was_empty=redis_was_empty
    )


@pytest.fixture(autouse=True)
def _library_loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _lines(event: Event, **options: Any) -> list[dict[str, Any]]:
    stream = io.StringIO()
    configure_logging(log_format="json", stream=stream, **options)(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_head_and_fields() -> None:
    [line] = _lines(ENDED)

    assert list(line)[:3] == ["ts", "level", "event"]
    assert line["ts"].endswith("Z")
    assert line | {"ts": ""} == {
        "ts": "",
        "level": "info",
        "event": "attempt_ended",
        "task": "report",
        "job_id": "j-1",
        "user_id": "ärger\nmit: user",
        "attempt": 2,
        "outcome_class": "success",
        "status": 200,
        "duration_s": 0.25,
    }


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the log tells nobody when it has written
            await asyncio.sleep(0.01)


class _Out(io.StringIO):
    """A stream that tells of each try to write, and refuses while it is `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.tried = asyncio.Event()

    def write(self, text: str) -> int:
        self.tried.set()
        if self.full:
            raise BlockingIOError(11, "no room")
        return super().write(text)

    async def lines_after_next_write(self) -> int:
        self.tried.clear()
        async with asyncio.timeout(5):
            await self.tried.wait()
        return len(self.getvalue().splitlines())


async def test_frequent_lines_are_written_again_after_a_write_that_failed() -> None:
    out = _Out()
    log = configure_logging(log_format="json", stream=out)
    out.full = True
    log(ENDED)
    assert await out.lines_after_next_write() == 0
    out.full = False

    with pytest.raises(BlockingIOError):
        log(ENDED)
    for _ in range(3):
        log(ENDED)

    assert await out.lines_after_next_write() == 3


async def test_frequent_lines_are_written_when_many_are_held_even_if_the_loop_gets_no_turn() -> None:
    out = _Out()
    log = configure_logging(log_format="json", stream=out)

    for _ in range(1500):
        log(ENDED)

    assert len(out.getvalue().splitlines()) == 1000
    assert await out.lines_after_next_write() == 1500


def test_fields_without_a_value_are_left_out_and_zero_is_a_value() -> None:
    [line] = _lines(events.ConnectionRestored(service="redis", outage_s=0))
    [failed] = _lines(events.CatalogReloaded(ok=False, revision="", tasks=0))

    assert line["outage_s"] == 0
    assert failed["ok"] is False
    assert failed["tasks"] == 0
    assert not {"revision", "removed", "error"} & failed.keys()


def test_an_event_below_the_level_is_not_written() -> None:
    assert _lines(ENDED, level="warning") == []
    assert len(_lines(events.ConnectionLost(service="redis", error="gone"), level="WARNING")) == 1


def test_a_level_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'loud'.*debug, info, warning, error"):
        configure_logging(level="loud", stream=io.StringIO())


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (ENDED, logging.INFO),
        (events.CatalogReloaded(ok=True, revision="r", tasks=1), logging.INFO),
        (events.CatalogReloaded(ok=False, revision="r", tasks=1, error="bad"), logging.ERROR),
        (events.ProcessStopped(clean=False, drain_s=1), logging.WARNING),
        (planned(users=0, redis_was_empty=False), logging.INFO),
        (planned(users=1, redis_was_empty=True), logging.INFO),
        (planned(users=0, redis_was_empty=True), logging.WARNING),
        (worker_events.DuplicateDropped(task="t", job_id="j"), logging.DEBUG),
        (api_events.RequestFailed(method="GET", route="/", request_id="r", error="KeyError"), logging.ERROR),
        (api_events.TokenRefused(reason="wrong_secret", client="192.0.2.1"), logging.WARNING),
        (api_events.TokenRefused(reason="missing", client="192.0.2.1"), logging.DEBUG),
        (api_events.NoTokens(), logging.WARNING),
    ],
)
def test_the_level_says_whether_somebody_should_look(event: Event, level: int) -> None:
    assert level_of(event) == level


def test_the_id_of_a_token_is_no_secret_and_is_readable_in_the_log() -> None:
    out = io.StringIO()
    emit = configure_logging(log_format="json", stream=out)

    emit(api_events.TokenRefused(reason="revoked", client="192.0.2.1", caller="lcjt2jvoyk"))

    assert json.loads(out.getvalue())["caller"] == "lcjt2jvoyk"


def test_no_event_has_a_field_that_the_head_of_a_line_uses() -> None:
    for kind in Event.__subclasses__():
        assert not {"ts", "level", "event", "logger", "msg"} & {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("amqp://guest:canary@rabbit:5672/vhost refused", "amqp://[redacted]@rabbit:5672/vhost refused"),
        ("redis://:canary@redis:6379", "redis://[redacted]@redis:6379"),
        ("amqp://u:can@ary@h/, amqp://u:canary@i/", "amqp://[redacted]@h/, amqp://[redacted]@i/"),
        ("Authorization: Bearer canary", "Authorization: Bearer [redacted]"),
        ("https://h/p?token=canary&page=2", "https://h/p?token=[redacted]&page=2"),
        ("password=canary;", "password=[redacted];"),
        ("mail user@example.org about http://h/p", "mail user@example.org about http://h/p"),
    ],
)
def test_secrets_in_a_text_are_redacted(text: str, logged: str) -> None:
    assert safe_value(text) == logged


@pytest.mark.parametrize(
    "key", ["Authorization", "set-cookie", "db_password", "API_TOKEN", "client-secret", "x-api-key"]
)
def test_the_value_of_a_secret_key_is_redacted_at_any_depth(key: str) -> None:
    assert safe_value([{"headers": {key: "canary"}}]) == [{"headers": {key: "[redacted]"}}]


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    logged = str(safe_value("x" * 100_000))

    assert logged.startswith("x" * MAX_FIELD_CHARS)
    assert logged.endswith("... [100000 characters]")
    assert len(logged) < MAX_FIELD_CHARS + 40


def test_a_secret_that_the_cut_would_split_is_redacted_first() -> None:
    text = "x" * (MAX_FIELD_CHARS - 12) + " amqp://u:canary@h"

    assert "can" not in str(safe_value(text))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=20))
def test_whatever_a_value_is_the_line_is_valid_json(value: object) -> None:
    text = json.dumps(safe_value(value), allow_nan=False)

    assert "\n" not in text


@pytest.mark.parametrize(("value", "logged"), [(0.1 + 0.2, 0.3), (float("inf"), "inf"), (float("nan"), "nan")])
def test_a_number_is_short_and_valid_json(value: float, logged: float | str) -> None:
    assert safe_value(value) == logged


def test_a_time_is_written_as_rfc3339() -> None:
    assert safe_value(datetime(2024, 1, 15, 10, tzinfo=UTC)) == "2024-01-15T10:00:00Z"


def test_text_for_people_cannot_be_forged_by_control_characters() -> None:
    stream = io.StringIO()
    configure_logging(log_format="text", stream=stream)(
        events.ConnectionLost(service="redis", error="gone\n2024-01-01 fake\x1b[31m\u202e")
    )

    assert stream.getvalue().count("\n") == 1
    assert "gone␊2024-01-01 fake␛[31m�" in stream.getvalue()


def test_a_traceback_keeps_its_lines_in_text() -> None:
    stream = io.StringIO()
    configure_logging(log_format="text", stream=stream)(
        events.LoopFailed(loop="tick", error="KeyError: 'x'", restart_in_s=1, exception="Traceback:\n  line\x1b 1\n")
    )

    assert "Traceback:\n  line␛ 1" in stream.getvalue()


def test_auto_is_json_where_no_terminal_is() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)(ENDED)

    assert json.loads(stream.getvalue())["event"] == "attempt_ended"


def test_a_warning_of_a_library_comes_out_as_a_line_of_ours() -> None:
    stream = io.StringIO()
    configure_logging(log_format="json", stream=stream)

    logging.getLogger("redis.connection").warning("closing %s", "amqp://u:canary@h/")
    logging.getLogger("redis.connection").info("not this one")

    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert line["level"] == "warning"
    assert line["event"] == "library_message"
    assert line["logger"] == "redis.connection"
    assert line["msg"] == "closing amqp://[redacted]@h/"


def test_the_reconnect_attempts_of_the_amqp_client_are_not_told_one_by_one() -> None:
    stream = io.StringIO()
    configure_logging(log_format="json", stream=stream)

    logging.getLogger("aiormq.connection").error("connection refused")
    logging.getLogger("aio_pika.tools").warning("unexpected close")

    assert stream.getvalue() == ""


def test_the_traceback_of_a_library_is_part_of_its_line() -> None:
    stream = io.StringIO()
    configure_logging(log_format="json", stream=stream)

    try:
        raise KeyError("lost")
    except KeyError:
        logging.getLogger("uvicorn.error").exception("request failed")

    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert "KeyError: 'lost'" in line["exception"]
