"""tools/size_gate.py finds what is too long and what imports in a circle."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("size_gate", ROOT / "tools" / "size_gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "package"
    root.mkdir()
    (root / "__init__.py").touch()
    return root


def _function(lines: int, docstring: str = "") -> str:
    return f"def f():\n{docstring}" + "    x = 1\n" * (lines - 1)


def test_a_function_of_forty_lines_is_within_budget(gate: ModuleType, package: Path) -> None:
    (package / "a.py").write_text(_function(40))

    assert list(gate.breaches(package)) == []


def test_a_function_of_forty_one_lines_is_not(gate: ModuleType, package: Path) -> None:
    (package / "a.py").write_text("\n" + _function(41))

    assert list(gate.breaches(package)) == [f"{package}/a.py:2: f: 41 lines, more than 40"]


def test_a_docstring_does_not_count(gate: ModuleType, package: Path) -> None:
    (package / "a.py").write_text(_function(40, docstring='    """One.\n\n    Two.\n    """\n'))

    assert list(gate.breaches(package)) == []


def test_a_method_counts_as_well(gate: ModuleType, package: Path) -> None:
    (package / "a.py").write_text("class C:\n    async def m(self):\n" + "        x = 1\n" * 40)

    assert [breach.rpartition(": m")[2] for breach in gate.breaches(package)] == [": 41 lines, more than 40"]


def test_a_file_of_more_than_four_hundred_lines_is_named(gate: ModuleType, package: Path) -> None:
    (package / "a.py").write_text("x = 1\n" * 401)

    assert list(gate.breaches(package)) == [f"{package}/a.py: 401 lines, more than 400"]


def test_files_only_leaves_functions_alone(gate: ModuleType, package: Path) -> None:
    (package / "a.py").write_text(_function(41))

    assert list(gate.breaches(package, files_only=True)) == []


@pytest.mark.parametrize(
    "import_b",
    ["import package.b", "from package import b", "from package.b import x", "from . import b", "from .b import x"],
)
def test_a_cycle_is_found_however_it_is_imported(gate: ModuleType, package: Path, import_b: str) -> None:
    (package / "a.py").write_text(import_b + "\n")
    (package / "b.py").write_text("from package.a import y\n")

    (breach,) = gate.breaches(package)

    assert "import cycle: " in breach
    assert {"package.a", "package.b"} <= set(breach.replace(" -> ", " ").split())


@pytest.mark.parametrize(
    "import_b", ["if TYPE_CHECKING:\n    from package.b import x\n", "def f():\n    from package.b import x\n"]
)
def test_an_import_that_does_not_run_on_import_closes_no_cycle(gate: ModuleType, package: Path, import_b: str) -> None:
    (package / "a.py").write_text(import_b)
    (package / "b.py").write_text("from package.a import y\n")

    assert list(gate.breaches(package)) == []


def test_the_exit_code_tells(gate: ModuleType, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.main([str(package)]) == 0
    (package / "a.py").write_text(_function(41))

    assert gate.main([str(package)]) == 1
    assert "41 lines" in capsys.readouterr().out
