from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taskqueue.api.problems import ProblemError
from taskqueue.api.targets import check_payload, target_by_name, target_of_type
from taskqueue.api.task_types import KnownTypes, slug
from taskqueue.config.http_rules import check_endpoint
from taskqueue.core.task import Target
from tests.support.values import a_task

TEMPLATE = "http://localhost:9000/tasks/{task_name}"


def types(**names: str) -> KnownTypes:
    """Return task types by id with these names; each calls an endpoint that ends in its id."""
    tasks = {
        each: a_task(id=each, name=name, target=Target(endpoint=f"https://x/{each}")) for each, name in names.items()
    }
    return KnownTypes.of(tasks)


def called(name: str, known: KnownTypes, template: str = TEMPLATE) -> str:
    return target_by_name(name, known, template).endpoint


def test_an_id_goes_before_a_name() -> None:
    assert called("sync", types(sync="Other", other="Sync")) == "https://x/sync"


@pytest.mark.parametrize("name", ["daily_report_generation", "Daily Report Generation", "DAILY-report  generation!"])
def test_a_name_is_read_as_one_word(name: str) -> None:
    assert called(name, types(daily_report="Daily Report Generation")) == "https://x/daily_report"


def test_of_two_with_the_same_name_the_first_id_is_called() -> None:
    assert called("same", types(b="Same", a="same")) == "https://x/a"


@pytest.mark.parametrize("name", ["é", "日報", "!!!"])
def test_a_name_without_a_word_is_no_other_ones(name: str) -> None:
    assert slug(name) == ""
    assert called(name, types(a="日本", b="?")).startswith("http://localhost:9000/tasks/%")


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=100))
def test_whatever_a_task_is_called_its_name_stays_one_part_of_the_url(name: str) -> None:
    assume(name not in {".", ".."})

    endpoint = called(name, KnownTypes())

    assert check_endpoint(endpoint) == endpoint
    assert "/" not in endpoint.removeprefix("http://localhost:9000/tasks/")
    assert "{" not in endpoint


@pytest.mark.parametrize("name", [".", "..", "😀" * 200])
def test_a_name_that_makes_no_url_is_refused(name: str) -> None:
    with pytest.raises(ProblemError, match="/task_name"):
        called(name, KnownTypes())


def test_without_a_template_nothing_is_called() -> None:
    with pytest.raises(ProblemError) as caught:
        called("x", KnownTypes(), "")
    assert caught.value.code == "no_target"


@pytest.mark.parametrize(
    "target",
    [
        Target(endpoint="https://x/${env:A}"),
        Target(endpoint="${file:/run/url}/x"),
        Target(endpoint="https://x/", headers={"A": "Bearer ${env:A}"}),
        Target(endpoint="https://x/", headers={"A": "a", "B": "${file:/etc/passwd}"}),
        Target(endpoint="https://x/", signing_secrets=("${env:A}",)),
        Target(endpoint="https://x/{user_id}"),
    ],
)
def test_a_task_type_that_is_trusted_with_more_is_not_called(target: Target) -> None:
    known = KnownTypes.of({"t": a_task(id="t", name="t", target=target)})

    for find in (lambda: target_of_type("t", known), lambda: target_by_name("t", known, TEMPLATE)):
        with pytest.raises(ProblemError, match="task type 't'"):
            find()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("payload", [None, 1, "x", True, []])
def test_a_call_without_a_body_needs_fields(method: str, payload: object) -> None:
    check_payload(Target(endpoint="https://x/", method=method), {})
    check_payload(Target(endpoint="https://x/"), payload)
    with pytest.raises(ProblemError, match="/payload"):
        check_payload(Target(endpoint="https://x/", method=method), payload)
