"""`taskqueue failed stats`, `list` and `show`, as their user runs them, against a real RabbitMQ."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from tests.support.failed_pile import FailedPile, Lying

Run = Callable[..., tuple[int, str, str]]


def by_id(messages: list[Lying]) -> dict[str | None, Lying]:
    return {message.message_id: message for message in messages}


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_empty_queue_has_no_failures(pile: FailedPile, run_failed: Run) -> None:
    assert pile.lying() == []
    assert json.loads(run_failed("stats")[1]) == {"total": 0, "of_further_kinds": 0, "kinds": []}
    assert run_failed("list") == (0, "", "")


def test_failures_are_counted_by_task_host_and_error_whatever_ids_the_error_names(
    pile: FailedPile, run_failed: Run
) -> None:
    for number in range(3):
        pile.add(number)
    pile.add(3, code="http_410", detail="gone")
    pile.add(4, task_type_id="other")

    code, out, err = run_failed("stats")

    found = json.loads(out)
    kinds = [(kind["count"], kind["example"]["task"], kind["example"]["code"]) for kind in found["kinds"]]
    assert (code, err, found["total"]) == (0, "", 5)
    assert kinds[0] == (3, "daily_report", "http_500")
    assert sorted(kinds[1:]) == [(1, "daily_report", "http_410"), (1, "other", "http_500")]
    assert (found["kinds"][0]["oldest"], found["kinds"][0]["newest"]) == (
        "2024-01-15T10:00:00Z",
        "2024-01-15T10:02:00Z",
    )
    assert found["kinds"][0]["example"]["host"] == "https://api.example.com:443"


def test_kinds_and_lists_come_as_yaml_on_request(pile: FailedPile, run_failed: Run) -> None:
    for number in range(2):
        pile.add(number)

    assert yaml.safe_load(run_failed("stats", "-o", "yaml")[1])["total"] == 2
    listed = list(yaml.safe_load_all(run_failed("list", "-o", "yaml")[1]))
    assert [failure["job_id"] for failure in listed] == ["job-0", "job-1"]


def test_looking_leaves_messages_headers_and_their_order_as_they_were(pile: FailedPile, run_failed: Run) -> None:
    added = [pile.add(number).job.id for number in range(450)]

    for verb in (("stats",), ("show", "job-7"), ("replay", "--dry-run"), ("drop", "--dry-run")):
        assert run_failed(*verb)[0] == 0
    listed = lines(run_failed("list")[1])

    assert [line["job_id"] for line in listed] == added
    assert {line["fingerprint"] for line in listed} == {str(listed[0]["fingerprint"])}
    assert by_id(pile.lying()) == {job_id: pile.added[job_id] for job_id in added}


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ((), [0, 1, 2, 3]),
        (("--task", "daily_report"), [0, 1, 2]),
        (("--task", "other", "--task", "daily_report"), [0, 1, 2, 3]),
        (("--code", "http_410"), [2]),
        (("--user", "user-1"), [1]),
        (("--job", "job-3", "--job", "job-0"), [0, 3]),
        (("--host", "api.example.com", "--reason", "retries_exhausted"), [0, 1, 2, 3]),
        (("--host", "elsewhere"), []),
        (("--since", "2024-01-15T10:01:00Z", "--until", "2024-01-15T10:02:00Z"), [1, 2]),
        (("--since", "1h"), []),
        (("--until", "1h", "--limit", "2"), [3, 2]),
        (("--oldest", "--limit", "2"), [0, 1]),
    ],
)
def test_filters_choose_what_is_listed(
    pile: FailedPile, run_failed: Run, options: tuple[str, ...], numbers: list[int]
) -> None:
    pile.add(0)
    pile.add(1)
    pile.add(2, code="http_410")
    pile.add(3, task_type_id="other")

    code, out, _ = run_failed("list", *options)

    assert code == 0
    assert [line["job_id"] for line in lines(out)] == [f"job-{number}" for number in numbers]


def test_a_kind_that_stats_names_can_be_asked_for(pile: FailedPile, run_failed: Run) -> None:
    pile.add(0)
    pile.add(1, code="http_410")
    kinds = json.loads(run_failed("stats")[1])["kinds"]
    wanted = next(kind["example"] for kind in kinds if kind["example"]["code"] == "http_410")

    found = lines(run_failed("list", "--fingerprint", wanted["fingerprint"])[1])

    assert [line["job_id"] for line in found] == ["job-1"]


def test_show_tells_all_about_a_job_without_characters_that_a_terminal_acts_on(
    pile: FailedPile, run_failed: Run
) -> None:
    pile.add(1, user_id="\x1b[2J\u202e")
    pile.add(2)

    code, out, _ = run_failed("show", "job-1")

    shown = json.loads(out)
    assert (code, out.isascii(), "\x1b" in out) == (0, True, False)
    assert shown["user_id"] == "\x1b[2J\u202e"
    assert shown["job"]["payload"] == {"user_id": "12345"}
    assert (shown["method"], shown["endpoint"]) == ("POST", "https://api.example.com/reports/daily")
    assert shown["headers"]["taskqueue-attempts"] == 3


def test_show_of_a_job_that_is_not_there_is_exit_3(pile: FailedPile, run_failed: Run) -> None:
    pile.add(1)

    code, out, err = run_failed("show", "job-2")

    assert (code, out) == (3, "")
    assert "no message of this job" in err


def test_messages_of_anybody_are_shown_with_what_is_known_of_them(pile: FailedPile, run_failed: Run) -> None:
    pile.put(b"\xff not json", "foreign", {"taskqueue-attempts": "many", "taskqueue-error-message": {"no": 1}})
    pile.put(b"{}", None, {"taskqueue-failed-at": "yesterday", "taskqueue-outcomes": "[" * 100_000})

    code, out, _ = run_failed("list")

    first, second = lines(out)
    assert code == 0
    assert (first["job_id"], str(first["problem"]).split(":")[0]) == ("foreign", "malformed")
    assert "failed_at" not in second


@pytest.mark.usefixtures("store")
def test_without_the_queue_the_remedy_is_named(amqp_url: str, run_failed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", amqp_url)

    code, out, err = run_failed("stats")

    assert (code, out) == (1, "")
    assert "taskqueue.jobs.failed" in err
    assert "taskqueue topology apply" in err


@pytest.mark.usefixtures("directory")
def test_without_rabbitmq_one_line_says_so(run_failed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", "amqp://user:s3cret@127.0.0.1:1/")

    code, out, err = run_failed("list")

    assert (code, out, len(err.splitlines()), "s3cret" in err) == (5, "", 1, False)


@pytest.mark.usefixtures("directory")
def test_a_time_that_is_none_is_wrong_usage(run_failed: Run) -> None:
    code, _, err = run_failed("list", "--since", "yesterday")

    assert (code, err) == (
        2,
        "--since yesterday: use an instant such as 2024-01-15T10:00:00Z, or a duration such as 2h\n",
    )
