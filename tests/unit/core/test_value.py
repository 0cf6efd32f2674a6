import subprocess
import sys
from dataclasses import field, fields, replace
from pathlib import Path

import pytest

from taskqueue.core.value import value


@value
class Point:
    x: int
    y: int = 2
    marks: tuple[str, ...] = field(default=(), compare=False)


def test_values_with_equal_fields_are_equal_and_one_key_of_a_dict() -> None:
    assert Point(x=1) == Point(x=1, y=2, marks=("a",)) != Point(x=2)
    assert {Point(x=1): "found"}[Point(x=1)] == "found"


def test_a_value_is_made_of_keyword_arguments_and_has_no_other_attributes() -> None:
    assert [each.name for each in fields(Point)] == ["x", "y", "marks"]
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]  # that it is refused is the point
    with pytest.raises(AttributeError):
        Point(x=1).z = 3  # type: ignore[attr-defined]  # as above


def test_another_value_is_made_from_one_by_replacing_fields() -> None:
    assert replace(Point(x=1), y=5) == Point(x=1, y=5)


def test_the_type_checker_refuses_to_change_a_value(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from taskqueue.core.job import Metadata\nMetadata(correlation_id='', source='').source = 'api'\n"
    )

    # Not in this process, whose recursion limit mypy would raise for all tests after this one.
    mypy = [sys.executable, "-m", "mypy", "--config-file=", str(program)]
    said = subprocess.run(mypy, capture_output=True, text=True, check=False, timeout=100)

    assert 'Property "source" defined in "Metadata" is read-only' in said.stdout
