"""Look through the source of a project, without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from channels_graphql_ws.migration.findings import Finding
from channels_graphql_ws.migration.names import (
    ATTRIBUTES,
    DISTRIBUTION,
    MODULES,
    NOTED,
    OLD_DISTRIBUTION,
)

_PACKAGE: Final = "channels_graphql_ws"

_SKIPPED: Final = frozenset({"node_modules", "site-packages", "venv", "env", "build", "dist"})

_REQUIREMENTS: Final = ("*requirements*.txt", "*requirements*.in", "pyproject.toml", "Pipfile")

_REQUIREMENT: Final = re.compile(
    rf"(?<![\w-]){re.escape(OLD_DISTRIBUTION)}(?![\w-])", re.IGNORECASE
)


def findings_in(folders: Iterable[Path]) -> Iterator[Finding]:
    """Look through requirements and Python files below folders."""
    for folder in folders:
        for path in _files(folder, _REQUIREMENTS):
            yield from _in_requirements(path)
        for path in _files(folder, ("*.py",)):
            yield from _in_python(path)


def _files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    found = {path for pattern in patterns for path in folder.rglob(pattern)}
    return sorted(path for path in found if not _is_skipped(path.relative_to(folder)))


def _is_skipped(path: Path) -> bool:
    return any(part in _SKIPPED or part.startswith(".") for part in path.parts[:-1])


def _in_requirements(path: Path) -> Iterator[Finding]:
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if _REQUIREMENT.search(line.partition("#")[0]):
            yield Finding(f"{path}:{number}", f"require {DISTRIBUTION!r} instead")


def _in_python(path: Path) -> Iterator[Finding]:
    try:
        tree = ast.parse(_text(path))
    except (SyntaxError, ValueError) as error:
        yield Finding(
            str(path), f"not looked at, it cannot be read as Python: {error}", is_note=True
        )
        return
    found = [
        (getattr(node, "lineno", 0), text, is_note)
        for node in ast.walk(tree)
        for text, is_note in _in_node(node)
    ]
    for line, text, is_note in sorted(found):
        yield Finding(f"{path}:{line}", text, is_note)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _in_node(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield what is to be said about a node, and whether it is a note."""
    match node:
        case ast.Import(names=names):
            for each in names:
                yield from _changes(_in_import(each.name, []))
        case ast.ImportFrom(module=str() as module, names=names, level=0):
            yield from _changes(_in_import(module, [each.name for each in names]))
        case ast.Attribute():
            name = ".".join(ast.unparse(node).split(".")[-2:])
            for known, is_note in ((ATTRIBUTES, False), (NOTED, True)):
                if name in known:
                    yield f"`{name}`: {known[name]}", is_note
        case _:
            pass


def _changes(texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    return ((text, False) for text in texts)


def _in_import(module: str, names: list[str]) -> Iterator[str]:
    for package, text in MODULES.items():
        imported = [module, *(f"{module}.{name}" for name in names)]
        if any(f"{each}.".startswith(f"{package}.") for each in imported):
            yield text
            return
    if f"{module}.".startswith(f"{_PACKAGE}."):
        yield from _in_own_import(module, names)


def _in_own_import(module: str, names: list[str]) -> Iterator[str]:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        yield f"there is no module {module!r}"
        return
    owner = __import__(module, fromlist=["*"])
    for name in names:
        if name != "*" and not hasattr(owner, name) and not _is_module(f"{module}.{name}"):
            yield f"{module!r} has no {name!r}"


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
