from __future__ import annotations

import json

import pytest

from taskqueue.config.catalog import parse_catalog, task_to_json
from taskqueue.core.catalog_change import FieldChange, changed_fields, mass_delete


def stored(**target: object) -> dict[str, object]:
    config = {"endpoint": "https://a.example/", **target}
    text = json.dumps({"tasks": [{"id": "report", "interval": {"type": "daily"}, "config": config}]})
    return dict(json.loads(task_to_json(parse_catalog(text, "tasks.yaml").tasks["report"])))


def test_a_definition_does_not_differ_from_itself() -> None:
    assert changed_fields(stored(), stored()) == ()


def test_fields_have_the_names_that_they_have_in_the_file() -> None:
    before = {"interval": {"type": "daily", "at_time": "08:00"}, "retries": 3}
    after = {"interval": {"type": "daily"}, "retries": 4}
    assert changed_fields(before, after) == (
        FieldChange(field="interval.at_time", before="08:00", after=None),
        FieldChange(field="retries", before=3, after=4),
    )


def test_a_header_is_told_without_its_value_unless_that_is_a_reference() -> None:
    before, after = stored(headers={"X-Key": "one-secret"}), stored(headers={"X-Key": "${env:KEY}"})
    (change,) = changed_fields(before, after)
    assert change == FieldChange(field="config.headers.X-Key", before="(a value that is not shown)", after="${env:KEY}")


def test_a_url_is_told_without_the_values_in_its_query() -> None:
    before = stored(endpoint="https://a.example/x?key=one-secret&user={user_id}&other=${env:OTHER}")
    (change,) = changed_fields(before, stored(endpoint="https://b.example/x"))
    assert change.before == "https://a.example/x?key=...&user={user_id}&other=${env:OTHER}"
    assert change.after == "https://b.example/x"


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("https://a.example/x?one-secret", "https://a.example/x?..."),
        ("https://a.example/x?one-secret&{user_id}&a=1", "https://a.example/x?...&{user_id}&a=..."),
        ("https://a.example/x?key=one=secret", "https://a.example/x?key=..."),
        ("https://name:pass@a.example:8443/v1/x", "https://...@a.example:8443/v1/x"),
        ("https://a.example/services/T024BE7LD/B1/s3cr3tT0k3n", "https://a.example/services/.../B1/..."),
        ("https://a.example/bot123456:aBcDeF/send", "https://a.example/.../send"),
        ("https://a.example/hooks/qwertyuiopasdfghjklzx", "https://a.example/hooks/..."),
        ("https://a.example/v2/daily-report.php", "https://a.example/v2/daily-report.php"),
        ("https://a.example/${file:/run/x9z8y7}/u-{user_id}", "https://a.example/${file:/run/x9z8y7}/u-{user_id}"),
        ("${env:BASE}/a1b2c3", "${env:BASE}/..."),
        ("https://${env:HOST}/report", "https://${env:HOST}/report"),
        ("http://127.0.0.1:18082/ok/report", "http://127.0.0.1:18082/ok/report"),
    ],
)
def test_a_url_is_told_without_what_may_open_it(endpoint: str, shown: str) -> None:
    before, after = {"config": {"endpoint": endpoint}}, {"config": {"endpoint": "https://b.example/other"}}
    (change,) = changed_fields(before, after)
    assert change.before == shown


@pytest.mark.parametrize(
    ("known", "present", "refused"),
    [
        ("abcd", "ab", False),
        ("abcd", "a", True),
        ("abcd", "axyz", True),
        ("a", "b", False),
        ("a", "", True),
        ("", "", False),
        ("ab", "abcd", False),
    ],
)
def test_more_than_half_of_the_tasks_may_not_go_at_once(known: str, present: str, refused: bool) -> None:
    assert (mass_delete(set(known), set(present)) is not None) is refused
