"""What the demo runs: six task types, 320 users with different preferences, two manual triggers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from taskqueue.dev.demo_expectation import DemoTask, DemoUser

REPORT: Final = "demo_report"
SYNC: Final = "demo_sync"
FLAKY: Final = "demo_flaky"
BROKEN: Final = "demo_broken"
CUSTOM: Final = "demo_custom"
MANUAL: Final = "demo_manual"

_EVERY_MINUTE = "* * * * *"
#: an expression that must be due some day: a day that only leap years have
_HARDLY_EVER = "0 0 29 2 *"

#: the endpoint never answers these with success
_ALWAYS = 1_000_000

TASKS: Final = (
    DemoTask(id=REPORT, name="Report", cron=_EVERY_MINUTE, method="POST", path="/ok/report", retries=2),
    DemoTask(id=SYNC, name="Sync", cron=_EVERY_MINUTE, method="GET", path="/ok/sync", retries=2),
    DemoTask(id=FLAKY, name="Works at the third try", cron=_EVERY_MINUTE, method="POST", path="/fail/2", retries=3,
             refusals=2),
    DemoTask(id=BROKEN, name="Never works", cron=_EVERY_MINUTE, method="POST", path="/status/500", retries=2,
             refusals=_ALWAYS),
    DemoTask(id=CUSTOM, name="At each user's own times", cron=_HARDLY_EVER, method="POST", path="/ok/custom",
             retries=2),
    DemoTask(id=MANUAL, name="Triggered by hand", cron=_HARDLY_EVER, method="POST", path="/ok/manual", retries=2,
             window_s=10),
)  # fmt: skip

#: Kathmandu is 5:45 ahead of UTC: its even minutes are the odd ones of UTC
_CUSTOM_INTERVALS = (
    (_EVERY_MINUTE, "Asia/Kathmandu"),
    ("*/2 * * * *", "UTC"),
    ("1-59/2 * * * *", "UTC"),
    ("*/2 * * * *", "Asia/Kathmandu"),
    None,
)

#: user ids are other systems' data, and look like it
_UNUSUAL_IDS = {7: "zoë@example.org", 11: "user with spaces", 13: "colon:and/slash", 15: "100%+1&x=y", 19: "用户-19"}

_USER_COUNT = 320


def demo_users() -> tuple[DemoUser, ...]:
    """Return the users: some want a task, some switched it off, some never said anything about it."""
    return tuple(_user(number) for number in range(_USER_COUNT))


def triggered_users(users: Iterable[DemoUser]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return whom the first trigger calls at once, and over whom the second one is spread."""
    user_ids = [user.user_id for user in users]
    return tuple(user_ids[10:16]), tuple(user_ids[20:32])


def _user(number: int) -> DemoUser:
    switches = dict(_switches(number))
    parameters = {}
    if number % 5 == 0:
        parameters[REPORT] = {"format": "pdf", "page": str(number)}
    if number % 3 == 0:
        parameters[SYNC] = {"since": "2026-01-01", "filter": "a&b=c ü"}
    custom = _CUSTOM_INTERVALS[number // 4 % len(_CUSTOM_INTERVALS)] if CUSTOM in switches else None
    return DemoUser(
        user_id=_UNUSUAL_IDS.get(number, f"demo-user-{number:03}"),
        enabled_tasks=switches,
        parameters=parameters,
        custom_intervals={CUSTOM: custom} if custom else {},
        opts_out_of=frozenset({REPORT}) if number % 40 == 2 else frozenset(),
    )


def _switches(number: int) -> Iterable[tuple[str, bool]]:
    if number % 8 != 1:
        yield REPORT, number % 8 != 0
    if number % 2 == 0 or number % 7 == 0:
        yield SYNC, number % 2 == 0
    if number % 16 == 3:
        yield FLAKY, True
    if number % 64 == 5:
        yield BROKEN, True
    if number % 4 == 2:
        yield CUSTOM, True
    if number % 16 == 12:
        yield MANUAL, False
