"""docs/sdk.md knows every operation and every error, by the names that the SDKs have for them."""

from __future__ import annotations

import re
from pathlib import Path

from task_scheduler import AsyncTaskSchedulerClient, TaskSchedulerClient, errors
from tests.support.sdk_schema import operations

_ROOT = Path(__file__).resolve().parents[3]
_PAGE = (_ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    section = _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_operation_has_its_row_with_the_methods_that_there_are() -> None:
    rows = _rows("Operations")

    assert sorted(name for first, *_ in rows for name in _names(first)) == sorted(operations())
    for _, python, others in rows:
        for kind in (TaskSchedulerClient, AsyncTaskSchedulerClient):
            assert all(callable(getattr(kind, name, None)) for name in _names(python))
        assert _names(others) == [_camel(name) for name in _names(python)]


def test_every_method_of_the_clients_is_in_a_row() -> None:
    listed = {name for _, python, _ in _rows("Operations") for name in _names(python)}

    public = {name for name in vars(TaskSchedulerClient) if not name.startswith("_")}
    assert public - listed == {"with_options", "close"}


def test_every_method_is_in_the_sources_of_the_others() -> None:
    methods = [name for *_, others in _rows("Operations") for name in _names(others)]

    for sources in ("sdk/javascript/src", "sdk/java/src/main"):
        text = "".join(path.read_text(encoding="utf-8") for path in (_ROOT / sources).rglob("*.j*") if path.is_file())
        assert [name for name in methods if not re.search(rf"\b{name}\(", text)] == [], sources


def test_every_error_has_its_row() -> None:
    listed = {name for first, *_ in _rows("Errors") for name in _names(first)}

    assert listed == {name for name in vars(errors) if name.endswith("Error")}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
