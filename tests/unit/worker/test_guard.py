"""Whom the settings of a worker guard, and by what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskqueue.config.sections import GuardSettings
from taskqueue.config.settings import worker_settings_of
from taskqueue.config.yaml_source import parse_document
from taskqueue.core.error_codes import ErrorCode
from taskqueue.core.host_limit import Sign, sign_of
from taskqueue.core.outcome import OutcomeClass
from taskqueue.worker.attempt import outcome_of
from taskqueue.worker.guard import BlockedAddressError, Guard, guards_of
from taskqueue.worker.http_call import CallResult, Failure
from tests.support.values import TEN_O_CLOCK

WORKER_PAGE = Path(__file__).parents[3] / "docs" / "worker.md"


def settings(**values: object) -> GuardSettings:
    return GuardSettings.model_validate(values)


def called(guard: Guard | None, address: str, port: int = 443) -> bool:
    assert guard is not None
    try:
        guard.check_addresses("api.example.com", [(address, port)])
    except BlockedAddressError:
        return False
    return True


def test_by_default_tasks_of_the_api_are_guarded_and_nobody_judges_those_of_the_file() -> None:
    guards = guards_of(settings())

    assert not called(guards.api, "127.0.0.1")
    assert called(guards.api, "8.8.8.8")
    assert guards.file is None


def test_the_example_of_the_documentation_means_what_it_says() -> None:
    (example,) = re.findall(
        r"^```yaml\n(guard:\n.*?)^```$", WORKER_PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )

    guards = guards_of(worker_settings_of(parse_document(example, "worker.md"), {}).guard)

    assert guards.file is guards.api
    assert called(guards.api, "10.20.1.1", 9001) is False  # MinIO's
    assert called(guards.api, "10.20.1.1", 9002)
    assert not called(guards.api, "10.20.30.1", 80)


def test_tasks_of_the_file_are_guarded_by_the_same_rules_on_demand() -> None:
    guards = guards_of(settings(file_tasks=True))

    assert guards.file is guards.api


def test_a_deny_list_holds_for_tasks_of_the_file_too_and_nothing_else_does() -> None:
    guards = guards_of(settings(deny=["169.254.0.0/16"]))

    assert not called(guards.file, "169.254.169.254", 80)
    assert called(guards.file, "127.0.0.1", 6379)
    assert not called(guards.api, "127.0.0.1", 443)


def test_lists_and_ports_are_those_of_the_settings() -> None:
    guards = guards_of(settings(allow=["10.0.0.0/8"], deny=["10.9.0.0/16"], ports=[443, "8000-8100"]))

    assert called(guards.api, "10.1.0.1", 8080)
    assert not called(guards.api, "10.9.0.1", 8080)
    assert not called(guards.api, "10.1.0.1", 80)


@pytest.mark.parametrize("literal", ["localhost", "", "127.1", "8.8.8.8 "])
def test_what_a_resolver_returns_must_be_an_address(literal: str) -> None:
    with pytest.raises(BlockedAddressError, match="cannot be judged"):
        guards_of(settings(allow=["api.example.com"])).api.check_addresses("api.example.com", [(literal, 443)])


def test_a_name_is_refused_for_one_bad_address_among_good_ones() -> None:
    guard = guards_of(settings()).api
    addresses = [("8.8.8.8", 443), ("fd00::1", 443, 0, 0), ("1.1.1.1", 443)]

    with pytest.raises(BlockedAddressError, match="leads to a private address"):
        guard.check_addresses("api.example.com", addresses)


def test_a_blocked_call_is_final_and_says_nothing_about_the_host() -> None:
    failure = Failure(code=ErrorCode.BLOCKED_ADDRESS, message="db.example.com: leads elsewhere", sent="not_sent")

    outcome = outcome_of(CallResult(failure=failure), TEN_O_CLOCK)

    assert outcome.kind is OutcomeClass.PERMANENT
    assert not outcome.effect_unknown
    assert sign_of(outcome) is Sign.NONE
