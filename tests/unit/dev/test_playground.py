from __future__ import annotations

from pathlib import Path

import pytest

from taskqueue.dev.playground import kept_target_port


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("config: {endpoint: 'http://127.0.0.1:8090/ok/report'}", 8090),
        ("config: {endpoint: 'https://api.example.com:8090/'}", None),
        ("config: {endpoint: 'http://127.0.0.1:99999/'}", None),
        ("config: {endpoint: 'http://127.0.0.1/'}", None),
        ("tasks: []", None),
        ("\udcff", None),
    ],
)
def test_a_kept_tasks_file_tells_where_the_endpoint_has_to_listen(tmp_path: Path, text: str, port: int | None) -> None:
    (tmp_path / "tasks.yaml").write_bytes(text.encode(errors="surrogateescape"))

    assert kept_target_port(tmp_path) == port


def test_without_a_tasks_file_any_port_will_do(tmp_path: Path) -> None:
    assert kept_target_port(tmp_path) is None
