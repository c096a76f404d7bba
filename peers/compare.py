"""Run the probes with each package, and compare the documentation's table with the results."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
PAGE = HERE.parent / "docs" / "explanation" / "comparison.md"
TABLE = re.compile(r"^\| \|.*?\n\n", re.DOTALL | re.MULTILINE)
TIMEOUT = 600

OURS = "this package"
# Each in the newest version that there is, on the newest stack that it takes.
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "django-channels-graphql-ws rc7": (
        "predecessor",
        (
            "django~=5.2.0",
            "channels>=4",
            "daphne",
            "graphene>=3.4",
            "graphql-core<3.3",
            "msgpack",
            "aiohttp",
        ),
    ),
    "django-channels-graphql-ws 0.9.1": ("predecessor", ("django-channels-graphql-ws==0.9.1",)),
    "Strawberry's Channels integration": (
        "strawberry_channels",
        ("strawberry-graphql[channels]>=0.341", "django~=5.2.0", "daphne"),
    ),
}
# Its pins are out of date, and lifted by this.
NO_DEPENDENCIES = {"django-channels-graphql-ws rc7": ("django-channels-graphql-ws==1.0.0rc7",)}


def main() -> None:
    """Exit with the difference, if there is one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="write the table anew")
    table = _table()
    text = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().write:
        PAGE.write_text(TABLE.sub(lambda _: f"{table}\n\n", text, count=1), encoding="utf-8")
    elif f"{table}\n" not in text:
        sys.exit(f"{PAGE.name} has another table. Now it is:\n\n{table}")
    print(table)


def _table() -> str:
    answers = {OURS: _probe([sys.executable], "ours")}
    for name, (adapter, requirements) in PEERS.items():
        python = _environment(name, requirements, NO_DEPENDENCIES.get(name, ()))
        answers[name] = _probe([str(python)], adapter)
    heads = [
        name
        if name == OURS or answer["version"] in name or "rc" in name
        else f"{name} {answer['version']}"
        for name, answer in answers.items()
    ]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for row in answers[OURS]["rows"]:
        cells = [str(answer["rows"][row]) for answer in answers.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _probe(python: list[str], adapter: str) -> dict[str, dict[str, str]]:
    # The folder of the script is searched, and with ours what is searched here.
    not_theirs = {"PYTHONSAFEPATH"} if adapter == "ours" else {"PYTHONSAFEPATH", "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in not_theirs}
    print(f"{adapter}: {python[0]}", file=sys.stderr)
    done = subprocess.run(
        [*python, str(HERE / "probes.py"), adapter],
        env=kept,
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT,
    )
    answer: dict[str, dict[str, str]] = json.loads(done.stdout)
    return answer


def _environment(name: str, requirements: tuple[str, ...], alone: tuple[str, ...]) -> Path:
    """Make the virtual environment of a package, unless that has been done."""
    key = hashlib.sha256(repr((sys.version, requirements, alone)).encode()).hexdigest()[:10]
    folder = CACHE / f"{name.split(maxsplit=1)[0]}-{key}"
    python = folder / "bin" / "python"
    is_complete = folder / "complete"
    if is_complete.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *requirements], check=True, timeout=TIMEOUT)
    if alone:
        subprocess.run([*install, "--no-deps", *alone], check=True, timeout=TIMEOUT)
    is_complete.touch()
    return python


main()
