from __future__ import annotations

from pathlib import Path

import pytest

from taskqueue.assets import asset_dir
from taskqueue.errors import ConfigError
from taskqueue.store.scripts import load_sources

SHARED = "-- [add\nlocal function add(a, b) return a + b end\n-- add]\nreturn add(ARGV[1], 1)\n"


def sources(directory: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (directory / f"{name}.lua").write_text(text, encoding="utf-8")
    return load_sources(directory)


def test_a_section_of_another_file_stands_where_it_is_included(tmp_path: Path) -> None:
    found = sources(tmp_path, shared=SHARED, user="--@ include shared.lua#add\nreturn add(1, 2)\n")
    assert found["user"].split("\n") == ["", "local function add(a, b) return a + b end", "", "return add(1, 2)", ""]


def test_a_file_that_others_include_stays_as_it_is(tmp_path: Path) -> None:
    assert sources(tmp_path, shared=SHARED, user="--@ include shared.lua#add\n")["shared"] == SHARED


@pytest.mark.parametrize("include", ["missing.lua#add", "shared.lua#subtract", "shared.lua#ad"])
def test_an_include_that_leads_nowhere_is_named(tmp_path: Path, include: str) -> None:
    with pytest.raises(ConfigError, match=rf"lua/user\.lua: includes {include}"):
        sources(tmp_path, shared=SHARED, user=f"--@ include {include}\n")


@pytest.mark.parametrize(
    "line", [" --@ include shared.lua#add", "-- @ include shared.lua#add", "x --@ include a.lua#b"]
)
def test_only_a_line_of_its_own_includes(tmp_path: Path, line: str) -> None:
    assert sources(tmp_path, shared=SHARED, user=line)["user"] == line


def test_a_directory_without_scripts_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="install taskqueue again"):
        load_sources(tmp_path)


def test_every_include_of_ours_is_resolved() -> None:
    assert not [name for name, text in load_sources(asset_dir("lua")).items() if "--@" in text]


@pytest.mark.parametrize("script", sorted(asset_dir("lua").glob("*.lua")), ids=lambda path: path.stem)
def test_every_script_says_what_it_takes_and_returns_and_costs(script: Path) -> None:
    head = script.read_text(encoding="utf-8").partition("\n\n")[0]
    assert all(line.startswith("--") for line in head.splitlines())
    assert all(word in head for word in ("KEYS[1]", "ARGV[1]", "Returns", "O("))
