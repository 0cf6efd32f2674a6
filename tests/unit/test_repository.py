"""Rules of this repository that no other tool checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # git is where PATH says
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in paths if path.is_file()]


def test_cmd_is_no_package() -> None:
    # With an __init__.py it would take the place of the standard library's cmd: pdb and pytest need that one.
    assert not (ROOT / "cmd" / "__init__.py").exists()


def test_programs_in_cmd_hide_no_module() -> None:
    # Python puts a program's own directory first: cmd/redis.py would be what `import redis` finds in it.
    names = {path.stem for path in (ROOT / "cmd").glob("*.py")}
    installed = {path.name.partition(".")[0] for path in Path(pytest.__file__).parent.parent.iterdir()}

    assert names & (sys.stdlib_module_names | installed) == set()


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_committed_file_is_big() -> None:
    big = [path for path in _committed() if path.stat().st_size > 1_000_000]

    assert big == []


def test_no_committed_text_has_a_conflict_marker() -> None:
    marker = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)

    assert [path for path in _committed() if marker.search(path.read_bytes())] == []


@pytest.mark.parametrize("program", [".ci/run"])
def test_programs_are_executable(program: str) -> None:
    assert (ROOT / program).stat().st_mode & 0o111


def test_no_file_of_ours_names_the_host_of_a_package_registry() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org")
    tracked = [ROOT / name for name in ("Makefile", "pyproject.toml", "README.md", "requirements/dev.lock")]
    sources = [path for folder in ("taskqueue", "tools", "docs") for path in (ROOT / folder).rglob("*.[pm][yd]")]

    found = [path.name for path in (*tracked, *sources) if any(host in path.read_text("utf-8") for host in hosts)]

    assert found == []


def _pages() -> list[Path]:
    return [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "benchmarks" / "README.md"]


def test_links_between_pages_lead_somewhere() -> None:
    gone = []
    for page in _pages():
        text = page.read_text(encoding="utf-8")
        linked = [page.parent / target for target in re.findall(r"\]\((?!\w+:|#)([^)#]+)(?:#[^)]*)?\)", text)]
        named = [ROOT / target for target in re.findall(r"(?<![\w./-])((?:docs|docker)/[\w./-]*\.\w+)", text)]
        gone += [(page.name, str(path)) for path in (*linked, *named) if not path.exists()]

    assert gone == []


def test_sections_that_a_page_quotes_are_there() -> None:
    headings = {
        page.name: set(re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in _pages()
    }
    gone = []
    for page in _pages():
        text = " ".join(page.read_text(encoding="utf-8").split())
        quoted = re.findall(r'(?<![\w/-])(?:docs/)?([a-z-]+\.md),? "([^"]+)"', text)
        gone += [(page.name, name, said) for name, said in quoted if said not in headings.get(name, set())]

    assert gone == []
