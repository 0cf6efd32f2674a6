"""Fail when code outgrows its budget: 40 lines a function, 400 a file, no import cycle.

    size_gate.py [--files-only] PATH...

A function's docstring does not count. Cycles are looked for inside each package named; imports under
`if TYPE_CHECKING` and inside functions do not close one.
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FUNCTION = 40
MAX_FILE = 400

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(arguments: list[str] | None = None) -> int:
    """Print every breach; return 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--files-only", action="store_true", help="leave functions and cycles alone")
    options = parser.parse_args(arguments)

    found = [breach for path in options.paths for breach in breaches(path, files_only=options.files_only)]
    print("\n".join(found) if found else f"size gate: {', '.join(map(str, options.paths))} within budget")
    return 1 if found else 0


def breaches(root: Path, *, files_only: bool = False) -> Iterator[str]:
    """Yield one line for each breach in the Python files under `root`."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}
    for path, source in sources.items():
        if (lines := len(source.splitlines())) > MAX_FILE:
            yield f"{path}: {lines} lines, more than {MAX_FILE}"
    if files_only:
        return
    trees = {path: ast.parse(source, str(path)) for path, source in sources.items()}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, Function) and (lines := function_lines(node)) > MAX_FUNCTION:
                yield f"{path}:{node.lineno}: {node.name}: {lines} lines, more than {MAX_FUNCTION}"
    if cycle := import_cycle({module_name(root, path): (path, tree) for path, tree in trees.items()}):
        yield f"{root}: import cycle: {' -> '.join(cycle)}"


def function_lines(node: Function) -> int:
    """Return how many lines a function takes without its docstring and decorators."""
    last = node.end_lineno or node.lineno
    lines = last - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def module_name(root: Path, path: Path) -> str:
    """Return the dotted name under which a file of the package `root` is imported."""
    parts = (root.name, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_cycle(modules: dict[str, tuple[Path, ast.Module]]) -> list[str]:
    """Return the modules of one import cycle, or nothing."""
    graph = {
        name: {target for target in imported(tree.body, name, path) if target != name} & modules.keys()
        for name, (path, tree) in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def imported(body: list[ast.stmt], module: str, path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports while it is being imported itself."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in body:
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                yield from imported_from(node, package)
            case ast.If() if "TYPE_CHECKING" in ast.unparse(node.test):
                yield from imported(node.orelse, module, path)
            case ast.If() | ast.Try() | ast.With():
                children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
                yield from imported(children, module, path)


def imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    """Yield what `from x import y` may import: the module x.y for each y, or x itself where y is no module."""
    parents = package.split(".")
    base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
    source = ".".join(filter(None, (base, node.module)))
    yield from (f"{source}.{alias.name}" for alias in node.names)
    # `from package import module` does not need the package's own names; `from module import name` needs the module.
    yield source


if __name__ == "__main__":
    sys.exit(main())
