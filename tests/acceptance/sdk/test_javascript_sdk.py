from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.support.javascript_sdk import SDK, installed, run, tsc


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the package is installed as npm would publish it, and its file names as npm lists them."""
    installed()
    project = tmp_path_factory.mktemp("project")
    (packed,) = json.loads(run("npm", "pack", "--json", "--pack-destination", project))
    modules = project / "node_modules"
    with tarfile.open(project / packed["filename"]) as archive:
        archive.extractall(modules, filter="data")
    (modules / "package").rename(modules / "task-scheduler-sdk")
    (project / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return project


def test_its_sources_tests_and_driver_have_the_types_that_they_say() -> None:
    tsc("-p", "tsconfig.json")


def test_its_unit_tests_pass() -> None:
    installed()
    files = sorted(str(path.relative_to(SDK)) for path in SDK.glob("test/*.test.js"))

    report = run("node", "--test", "--test-reporter=tap", *files)

    succeeded = re.search(r"^# pass (\d+)$", report, re.MULTILINE)
    assert succeeded, report
    assert int(succeeded[1]) >= 130, report


def test_what_is_published_is_the_sources_and_the_types(package: Path) -> None:
    root = package / "node_modules" / "task-scheduler-sdk"
    shipped = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

    sources = {path.stem for path in SDK.glob("src/*.[jt]s")}
    scripts = {f"src/{path.name}" for path in SDK.glob("src/*.js")}
    assert shipped == {"package.json", "README.md"} | scripts | {f"dist/types/{name}.d.ts" for name in sources}


def test_the_published_package_runs_without_another_one(package: Path) -> None:
    program = "import * as sdk from 'task-scheduler-sdk'; console.log(sdk.VERSION, typeof sdk.TaskSchedulerClient)"

    printed = run("node", "--input-type=module", "--eval", program, cwd=package)

    manifest = json.loads((SDK / "package.json").read_text(encoding="utf-8"))
    assert printed == f"{manifest['version']} function\n"
    assert "dependencies" not in manifest


@pytest.mark.parametrize(
    ("library", "types"),
    [(["es2022"], ["node"]), (["es2022", "dom", "dom.asynciterable"], [])],
    ids=["node", "dom"],
)
def test_a_users_typescript_compiles_and_its_mistakes_do_not(
    package: Path, library: list[str], types: list[str]
) -> None:
    shutil.copy(SDK / "test" / "types" / "user.ts", package / "user.ts")
    strict = {"strict": True, "exactOptionalPropertyTypes": True, "noUncheckedIndexedAccess": True, "noEmit": True}
    where = {"lib": library, "types": types, "typeRoots": [str(installed() / "@types")]}
    options = {"target": "es2022", "module": "nodenext", **strict, **where}
    (package / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["user.ts"]}))

    tsc("-p", "tsconfig.json", cwd=package)


def test_npm_is_told_of_the_proxy_of_the_environment_and_programs_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho "$HTTPS_PROXY"\n', encoding="ascii")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")

    assert run("npm") == "http://proxy.example.com:3128\n"
    assert run("node", "--print", "process.env.HTTPS_PROXY") == "undefined\n"


def test_the_lock_file_names_no_address() -> None:
    lock = (SDK / "package-lock.json").read_text(encoding="utf-8")

    assert "resolved" not in lock
    assert "://" not in lock
