"""What stands in the fenced blocks of a document, and in which file of a project it belongs.

A block belongs to a file if the line before it ends with the file's name: "In `chat/schema.py`:".
It is the whole file; "At the end of `mysite/settings.py`:" adds to it. Other blocks are commands
(`sh`), operations (`graphql`) and results (`json`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"`(?P<name>[\w./-]+\.\w+|Dockerfile)`:$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: behind the fence.
        code: what stands in it.
        file: the file that it belongs to, relative to the project; `None`: to no file.
        is_addition: it comes to the end of that file.
        line: where it begins in the document.
    """

    language: str
    code: str
    file: str | None
    is_addition: bool
    line: int


def blocks(document: Path) -> list[Block]:
    """Return all fenced blocks of a document, in their order."""
    text = document.read_text(encoding="utf-8")
    return [_block(text, found) for found in _BLOCK.finditer(text)]


def write_files(found: list[Block], folder: Path) -> None:
    """Write what belongs to files."""
    for block in found:
        if block.file is not None:
            write_file(block, folder)


def write_file(block: Block, folder: Path) -> None:
    """Write one block, which belongs to a file."""
    assert block.file is not None
    file = folder / block.file
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text(encoding="utf-8") + "\n" if block.is_addition else ""
    file.write_text(before + block.code, encoding="utf-8")


def _block(text: str, found: re.Match[str]) -> Block:
    introduction = text[: found.start()].rstrip().rpartition("\n")[2].strip()
    file = _FILE.search(introduction)
    indent = len(found["indent"])
    return Block(
        language=found["language"],
        code="".join(line[indent:] or "\n" for line in found["code"].splitlines(keepends=True)),
        # A file of the machine, too, is written below the folder of the project.
        file=file["name"].lstrip("/") if file else None,
        is_addition="at the end of" in introduction.lower(),
        line=text.count("\n", 0, found.start()) + 1,
    )
