"""Write the lowest version that pyproject.toml allows of every dependency, as pins for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[.*\])?>=(?P<floor>[\d.]+)")


def main(target: Path) -> None:
    """Write the file of pins."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        requirements += extra
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(f"{_pin(each)}\n" for each in requirements), encoding="utf-8")


def _pin(requirement: str) -> str:
    found = REQUIREMENT.match(requirement)
    if found is None:
        sys.exit(f"{requirement!r} has no floor")
    return f"{found['name']}=={found['floor']}"


main(Path(sys.argv[1]))
