"""Write the lowest version that pyproject.toml allows of every dependency, as pins for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

FOLLOWERS = {"opentelemetry-api": "opentelemetry-sdk"}
"""Packages of the tests that take one version of a dependency only: that of their own."""

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[.*\])?>=(?P<floor>[\d.]+)")


def main(target: Path) -> None:
    """Write the file of pins."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        requirements += extra
    target.parent.mkdir(parents=True, exist_ok=True)
    pins = [pin for each in requirements for pin in _pins(each)]
    target.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")


def _pins(requirement: str) -> Iterator[str]:
    found = REQUIREMENT.match(requirement)
    if found is None:
        sys.exit(f"{requirement!r} has no floor")
    yield f"{found['name']}=={found['floor']}"
    if found["name"] in FOLLOWERS:
        yield f"{FOLLOWERS[found['name']]}=={found['floor']}"


main(Path(sys.argv[1]))
