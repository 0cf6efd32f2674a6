from __future__ import annotations

import inspect

import pytest

from taskqueue import errors
from taskqueue.cli.error_text import error_text
from taskqueue.cli.exit_codes import ExitCode, exit_code_of

#: every class of ours that ends in another code than 1
CODES = {
    errors.ConfigError: 2,
    errors.NotFoundError: 3,
    errors.RefusedError: 4,
    errors.ConflictError: 4,
    errors.BrokerUnavailableError: 5,
    errors.StoreUnavailableError: 5,
    errors.UnreachableError: 5,
    errors.BrokerAccessError: 6,
    errors.StoreAccessError: 6,
    errors.UnauthorizedError: 6,
}

SIMPLE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.TaskqueueError) and kind not in {errors.MessageError, errors.DamagedKeyError}
]


@pytest.mark.parametrize("kind", SIMPLE)
def test_each_kind_of_error_has_its_exit_code(kind: type[errors.TaskqueueError]) -> None:
    assert exit_code_of(kind("why")) == CODES.get(kind, ExitCode.FAILED)


def test_the_numbers_are_those_that_scripts_know() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "REFUSED": 4,
        "UNREACHABLE": 5,
        "UNAUTHORIZED": 6,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (errors.StoreUnavailableError("Redis: 127.0.0.1:1: refused"), "TASKQUEUE_REDIS__ADDRESSES"),
        (errors.BrokerUnavailableError("amqp://127.0.0.1:1/: refused"), "TASKQUEUE_QUEUE__URL"),
        (errors.BrokerAccessError("amqp://127.0.0.1:1/: refused"), "user and password in queue.url"),
    ],
)
def test_what_does_not_let_us_in_is_told_with_its_setting_on_one_line(
    error: errors.TaskqueueError, setting: str
) -> None:
    text = error_text(error)

    assert text.startswith(f"{error}; ")
    assert setting in text
    assert "\n" not in text


def test_any_other_error_is_told_as_it_is() -> None:
    assert (
        error_text(errors.ConfigError("a.yaml:1:1: wrong", "a.yaml:2:1: wrong"))
        == "a.yaml:1:1: wrong\na.yaml:2:1: wrong"
    )
