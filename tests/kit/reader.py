"""Somebody who follows a page of the documentation line by line, in an empty folder.

What is installed is the wheel of the checkout, in a virtual environment of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pages import ROOT, Block, blocks, write_file
from programs import Program, Visitor
from support import GUARD, free_port

_SERVER = re.compile(r"\b(runserver|uvicorn|daphne)\b")
# What takes its time is pip.
_PATIENCE = 20 * GUARD


def built_wheel(folder: Path) -> Path:
    """Build the wheel of the checkout."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=_PATIENCE)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Page:
    """The blocks of a document, which are taken one after another.

    Args:
        document: its path in the repository.
    """

    def __init__(self, document: str) -> None:
        self._document = document
        self._blocks = blocks(ROOT / document)

    def take(self, language: str) -> Block:
        """Return the next block, which has this language."""
        block = self._blocks.pop(0)
        assert block.language == language, f"{self._document}, line {block.line}: {block.language}"
        return block

    def assert_end(self) -> None:
        """Check that each block was taken."""
        assert [block.line for block in self._blocks] == []


class Reader:
    """Does what pages say.

    Args:
        folder: where; it is empty.
        wheel: what `pip install` takes for the package.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DJANGO_SETTINGS_MODULE", "PYTHONSAFEPATH", "PYTHONPATH", "REDIS_URL"}
        }
        path = [str(folder / ".venv" / "bin"), str(Path(sys.executable).parent), kept["PATH"]]
        self._environment = {
            **kept,
            "PATH": os.pathsep.join(path),
            "PIP_FIND_LINKS": f"{wheel.parent} {kept.get('PIP_FIND_LINKS', '')}".strip(),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SUPERUSER_PASSWORD": "lovelace",
        }

    def write(self, block: Block, file: str | None = None) -> None:
        """Write a file as the page says, or under another name."""
        if file is None:
            write_file(block, self.folder)
        else:
            (self.folder / file).write_text(block.code, encoding="utf-8")

    def run(self, commands: str) -> str:
        """Run commands, which end by themselves; return what they print."""
        # The password comes from the environment, where nobody sits at the keyboard.
        commands = commands.replace("createsuperuser", "createsuperuser --noinput")
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{commands}\n{printed}"
        return printed

    @contextmanager
    def serve(self, commands: str, *, instead: tuple[str, str] = ("", "")) -> Iterator[Visitor]:
        """Run commands, the last of which is a server; visit it.

        Args:
            commands: the block; a port in it stands for a free one.
            instead: a text of it, and what takes its place.
        """
        *before, server = commands.splitlines()
        assert _SERVER.search(server), server
        if before:
            self.run("\n".join(before))
        if instead[0]:
            server = server.replace(*instead)
        port = free_port()
        server = re.sub(r"(-p|--port) \d+", rf"\g<1> {port}", server)
        if "runserver" in server:
            server += f" --noreload 127.0.0.1:{port}"
        # Not a child of the shell, which would outlive it.
        server = re.sub(r"^((?:\w+=\S+ )*)", r"\1exec ", server)
        with Program(
            ["bash", "-euc", server],
            folder=self.folder,
            environment=self._environment,
            ready=port,
        ):
            yield Visitor(f"http://127.0.0.1:{port}")
