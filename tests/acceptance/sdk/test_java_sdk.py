"""What is true of the Java SDK by itself: its unit tests, its jar, its sources and what it tells users of Maven."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.java_sdk import JAVA_SDK, build

_CLIENT = JAVA_SDK / "src" / "main" / "java" / "com" / "example" / "TaskSchedulerClient.java"
_SOURCES = [path for part in ("src", "contract") for path in sorted((JAVA_SDK / part).rglob("*.java"))]

#: the first line of a method, of a class or of one in it, that ends with its brace; it may be the last of several
_METHOD = re.compile(r"^( {4}| {8})\S[^;=\n]*\)[^;=\n]* \{$", re.MULTILINE)


def test_its_unit_tests_pass() -> None:
    report = build("test")

    succeeded = re.search(r"\[ +(\d+) tests successful", report)
    assert succeeded, report
    assert int(succeeded[1]) == sum(source.read_text(encoding="utf-8").count("    @Test\n") for source in _SOURCES)


def test_the_jar_has_the_classes_of_the_sdk_alone() -> None:
    build("jar")

    with zipfile.ZipFile(JAVA_SDK / "build" / "task-scheduler-sdk.jar") as jar:
        names = [name for name in jar.namelist() if not name.endswith("/")]

    assert "com/example/TaskSchedulerClient.class" in names
    assert {name.rpartition("/")[0] for name in names} == {"com/example", "META-INF"}


def test_the_jars_are_those_of_the_directory_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = tmp_path / "jars"
    jars.symlink_to(os.environ.get("TASK_SCHEDULER_SDK_JARS", "/usr/share/java"))
    monkeypatch.setenv("TASK_SCHEDULER_SDK_JARS", str(jars))

    assert f"{jars}/jackson-databind.jar" in build("classpath").split(":")


def test_the_sources_stay_within_the_budget_of_size() -> None:
    texts = {source.name: source.read_text(encoding="utf-8") for source in _SOURCES}
    methods = {f"{name}: {line}": size for name, text in texts.items() for line, size in _methods(text)}

    assert len(methods) > 500
    assert {name: text.count("\n") for name, text in texts.items() if text.count("\n") > 400} == {}
    assert {method: size for method, size in methods.items() if size > 40} == {}
    assert [f"{name}: {line}" for name, text in texts.items() for line in text.splitlines() if len(line) > 120] == []


def test_the_pom_says_what_sources_and_readme_say() -> None:
    pom = ElementTree.parse(JAVA_SDK / "pom.xml").getroot()  # noqa: S314  # a file of this checkout
    values = {element.tag.rpartition("}")[2]: element.text for element in pom}
    readme = (JAVA_SDK / "README.md").read_text(encoding="utf-8")

    assert f'VERSION = "{values["version"]}"' in _CLIENT.read_text(encoding="utf-8")
    for name in ("groupId", "artifactId", "version"):
        assert f"<{name}>{values[name]}</{name}>" in readme


def _methods(text: str) -> Iterator[tuple[str, int]]:
    """Yield the first line of each method, and how many lines it has."""
    for start in _METHOD.finditer(text):
        end = text.find(f"\n{start[1]}}}", start.end())
        yield start[0].strip(), text.count("\n", start.start(), end) + 2
