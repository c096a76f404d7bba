"""Virtual environments of the peers, made once and kept in `.cache/`."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

CACHE = Path(__file__).resolve().parent / ".cache"
PREDECESSOR = "django-channels-graphql-ws==1.0.0rc7"

# The stack below the predecessor is the very one that we run on; its own pins (Django 4,
# graphql-core 3.2.3) are out of date and lifted by `--no-deps`.
SAME_AS_OURS = (
    "asgiref",
    "channels",
    "graphene",
    "graphql-core",
    "msgpack",
    "aiohttp",
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
)


def predecessor_python() -> Path:
    """Return the interpreter of the predecessor's environment; make it if it is not there."""
    requirements = ["django~=5.2.0", *_installed(SAME_AS_OURS)]
    return _environment("predecessor", requirements, without_dependencies=[PREDECESSOR])


def _installed(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield f"{name}=={metadata.version(name)}"


def _environment(name: str, requirements: list[str], *, without_dependencies: list[str]) -> Path:
    wanted = "\n".join([sys.version, *requirements, *without_dependencies])
    folder = CACHE / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if complete.exists():
        return python
    venv.create(folder, clear=True, with_pip=True)
    _install(python, requirements)
    _install(python, ["--no-deps", *without_dependencies])
    complete.write_text(wanted)
    return python


def _install(python: Path, arguments: list[str]) -> None:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        *arguments,
    ]
    subprocess.run(command, check=True, timeout=600)
