"""Secrets of a task stand in tasks.yaml, and with it in Redis, by reference only."""

from __future__ import annotations

import json

import pytest

from taskqueue.config.catalog import parse_catalog, task_from_json, task_to_json
from taskqueue.core.task import Target
from taskqueue.errors import ConfigError

FILE = "tasks:\n  - id: a\n    interval: {type: daily}\n    config: {endpoint: 'https://h/a?ENDPOINT'MORE}\n"


def _file(*, query: str = "", more: str = "") -> str:
    return FILE.replace("ENDPOINT", query).replace("MORE", f", {more}" if more else "")


def _target(**fields: str) -> Target:
    return parse_catalog(_file(**fields), "t").tasks["a"].target


def _problems(**fields: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        _target(**fields)
    return caught.value.problems


def test_references_stay_what_they_are_until_the_call() -> None:
    target = _target(query="t=${env:T}", more="signing_secrets: ['${env:NEW}', '${file:/run/old}']")

    assert target.endpoint == "https://h/a?t=${env:T}"
    assert target.signing_secrets == ("${env:NEW}", "${file:/run/old}")


def test_a_literal_signing_secret_is_refused_at_its_place_with_the_remedy_and_unseen() -> None:
    (problem,) = _problems(more="signing_secrets: [whsec_aHVudGVyMg==]")

    assert problem.startswith("t:4:")
    assert problem.endswith(
        "tasks[0].config.signing_secrets: a signing secret is not a reference; use ${env:NAME} or ${file:/path}"
    )


@pytest.mark.parametrize("secrets", ["[]", "['${env:A}', '${env:B}', '${env:C}']"])
def test_there_are_one_or_two_signing_secrets(secrets: str) -> None:
    (problem,) = _problems(more=f"signing_secrets: {secrets}")

    assert "tasks[0].config.signing_secrets: has the wrong length; use at" in problem


def test_a_forgotten_signing_secret_does_not_mean_unsigned() -> None:
    (problem,) = _problems(more="signing_secrets: null")

    assert "tasks[0].config.signing_secrets: is empty" in problem


@pytest.mark.parametrize("name", ["webhook-id", "Webhook-Signature", "WEBHOOK-TIMESTAMP"])
def test_headers_of_a_signature_are_the_workers(name: str) -> None:
    (problem,) = _problems(more=f"headers: {{{name}: x}}")

    assert f"header {name} is set by the worker" in problem


def test_a_task_without_signing_secrets_is_stored_as_it_was_before_there_were_any() -> None:
    task = parse_catalog(_file(), "t").tasks["a"]

    assert "signing_secrets" not in json.loads(task_to_json(task))["config"]
    assert task_from_json(task_to_json(task)) == task


@pytest.mark.parametrize("query", ["token=hunter2", "a=b&API_KEY=hunter2"])
def test_a_secret_that_stands_in_an_endpoint_is_a_warning_that_does_not_show_it(query: str) -> None:
    (warning,) = parse_catalog(_file(query=query), "t").warnings

    assert warning == "t:4:24: tasks[0].config.endpoint: a secret in the file; use ${env:NAME} or ${file:/path}"


@pytest.mark.parametrize("query", ["", "token=${env:T}", "token=", "user={user_id}&secret={user_id}", "tokens=2"])
def test_an_endpoint_without_a_literal_secret_is_no_warning(query: str) -> None:
    assert parse_catalog(_file(query=query), "t").warnings == ()
