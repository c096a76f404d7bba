"""Pin what CI's own tools are made of, with hashes; `--check` tells if the pins still fit.

    tox run -e lock

Each file has one group of pyproject.toml, for all Pythons and platforms at once.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ROOT / ".ci" / "locks"
GROUPS: Final = ("audit", "layers", "lint", "tox", "types")
OLDEST_PYTHON: Final = "3.11"

PINNED: Final = re.compile(r"^([\w.-]+)==([\w.]+)")


def write(group: str) -> None:
    """Resolve a group anew, and write its file."""
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--upgrade"]
    command += ["--python-version", OLDEST_PYTHON, "--no-header", "--no-annotate"]
    command += ["--group", group, "--output-file", str(LOCKS / f"{group}.txt")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)


def problems(group: str, groups: dict[str, Any]) -> list[str]:
    """Return what is wrong with the file of a group."""
    lines = (LOCKS / f"{group}.txt").read_text(encoding="utf-8").splitlines()
    pins = {found[1].lower(): found[2] for found in map(PINNED.match, lines) if found}
    found = [
        f"{group}: nothing is pinned that fits {requirement}"
        for requirement in map(Requirement, groups[group])
        if not requirement.specifier.contains(pins.get(requirement.name.lower(), "0"))
    ]
    blocks = re.split(r"\n(?=\S)", "\n".join(lines).strip())
    found += [f"{group}: no hash for {each}" for each in blocks if "--hash=sha256:" not in each]
    return found


def main() -> None:
    """Write all files, or check them."""
    if sys.argv[1:] == ["--check"]:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        groups = pyproject["dependency-groups"]
        found = [problem for group in GROUPS for problem in problems(group, groups)]
        sys.exit("\n".join([*found, "Run `tox run -e lock`."]) if found else 0)
    LOCKS.mkdir(exist_ok=True)
    for group in GROUPS:
        write(group)


main()
