"""What the peers run in: made once, from the registries, and kept in `.cache/`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from servers.events import ITEMS, SELECTED_ONE_IN

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
PREDECESSOR = "django-channels-graphql-ws==1.0.0rc7"
GQL = "gql[aiohttp,websockets]==4.0.0"
STRAWBERRY = "strawberry-graphql[channels]==0.341.2"

# The stack below the peers is the very one that we run on. The pins of the predecessor (Django 4,
# graphql-core 3.2.3) are out of date and lifted by `--no-deps`.
SERVER_STACK = (
    "asgiref",
    "channels",
    "channels-redis",
    "httptools",
    "uvicorn",
    "uvloop",
    "websockets",
)
GRAPHENE_STACK = ("graphene", "graphql-core", "msgpack", "aiohttp")
DJANGO = "django~=5.2.0"

# With redis 8 channels_redis raises a read timeout on an idle connection, and then peers lose it.
REDIS = "redis>=5,<8"


class MissingError(Exception):
    """A contender cannot run on this machine."""


def predecessor() -> list[str]:
    """Return the interpreter of the predecessor's environment."""
    stack = _installed((*SERVER_STACK, *GRAPHENE_STACK))
    requirements = [DJANGO, REDIS, *stack]
    return [_virtual_environment("predecessor", requirements, no_dependencies=[PREDECESSOR])]


def strawberry() -> list[str]:
    """Return the interpreter of Strawberry's environment; it chooses its own graphql-core."""
    stack = _installed(SERVER_STACK)
    return [_virtual_environment("strawberry", [DJANGO, REDIS, STRAWBERRY, *stack])]


def gql() -> list[str]:
    """Return the interpreter of gql's environment; aiohttp is the one that we run on."""
    return [_virtual_environment("gql", [GQL, *_installed(("aiohttp",))])]


def node() -> list[str]:
    """Return the command that runs the server with npm's packages.

    Raises:
        MissingError: there is no Node.js here.
    """
    if shutil.which("npm") is None:
        raise MissingError("Node.js and npm are not installed")
    source = HERE / "servers" / "node"
    texts = [path.read_text() for path in sorted(source.glob("*.*"))]
    data = json.dumps({"items": ITEMS, "selectedOneIn": SELECTED_ONE_IN})
    folder, is_complete = _folder("node", [*texts, data])
    command = ["node", "--expose-gc", str(folder / "server.mjs"), str(folder / "events.json")]
    if is_complete.exists():
        return command
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "events.json").write_text(data)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(install, cwd=folder, check=True, timeout=600, stdout=sys.stderr)
    is_complete.touch()
    return command


def redis() -> list[str]:
    """Return the command that runs a Redis server.

    Raises:
        MissingError: there is none here.
    """
    if shutil.which("redis-server") is None:
        raise MissingError("redis-server is not installed")
    return ["redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]


def _installed(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield f"{name}=={metadata.version(name)}"


def _virtual_environment(
    name: str, requirements: list[str], *, no_dependencies: Iterable[str] = ()
) -> str:
    folder, is_complete = _folder(name, [sys.version, *requirements, *no_dependencies])
    python = str(folder / "bin" / "python")
    if not is_complete.exists():
        venv.create(folder, clear=True, with_pip=True)
        _install(python, requirements)
        if no_dependencies:
            _install(python, ["--no-deps", *no_dependencies])
        is_complete.touch()
    return python


def _folder(name: str, parts: Iterable[str]) -> tuple[Path, Path]:
    """Return the folder for exactly these parts, and the file that says it is complete."""
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    return folder, folder / "complete"


def _install(python: str, arguments: list[str]) -> None:
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, timeout=600, stdout=sys.stderr)
