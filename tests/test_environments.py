"""The environments of tox: those for one mark read no files but those with its tests."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def files_with_tests() -> Iterator[Path]:
    """Yield each file with tests, without a look at what npm has installed beside them."""
    for folder, folders, names in os.walk(ROOT / "tests"):
        folders[:] = [each for each in folders if each != "node_modules"]
        yield from (Path(folder, name) for name in names if re.fullmatch(r"test_.*\.py", name))


@pytest.mark.parametrize("mark", ["browser", "foreign_schemas", "green", "node", "redis"])
def test_an_environment_collects_all_tests_of_its_mark(mark: str) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    found = re.search(r"\{posargs:(.+)\}", tox[f"testenv:{mark}"]["commands"])
    assert found is not None
    places = [ROOT / place for place in found[1].split()]
    named = re.compile(rf"\bmark\.{mark}\b")
    files = [file for file in files_with_tests() if named.search(file.read_text("utf-8"))]
    missed = [file for file in files if not any(map(file.is_relative_to, places))]
    # Those of `green` need Redis, too.
    assert [file for file in missed if mark != "redis" or file.parent.name != "green"] == []
    assert files
