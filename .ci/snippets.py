"""Check that each Python snippet of the documents imports or defines what it uses.

A snippet that belongs to a file of a project is checked with what is added to that file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "kit"))

from pages import Block, blocks  # noqa: E402 (of the tests)

# Syntax errors, undefined names, unused imports.
RULES = "E9,F401,F811,F821"


def main() -> None:
    """Exit with what is missing, if something is."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    # Those pages show what changes in a class, and leave the rest out.
    documents = [each for each in documents if each.parent.name != "migrating"]
    with tempfile.TemporaryDirectory() as folder:
        names = _write_snippets(documents, Path(folder))
        command = ["ruff", "check", "--isolated", "--quiet", "--output-format=concise"]
        options = ["--select", RULES, "--config", "lint.allowed-confusables=[]", *map(str, names)]
        found = subprocess.run(
            [*command, *options], cwd=folder, capture_output=True, text=True, check=False
        )
    if found.returncode:
        sys.exit(found.stdout + found.stderr)


def _write_snippets(documents: list[Path], folder: Path) -> list[Path]:
    """Write each snippet to a file that is named after its document and line."""
    written: dict[tuple[Path, str], Path] = {}
    for document in documents:
        name = document.relative_to(ROOT).as_posix().replace("/", ".")
        for block in blocks(document):
            if block.language != "python":
                continue
            place = folder / f"{name}.{block.line}.py"
            if block.file is not None:
                place = written.setdefault((document, block.file), place)
            with place.open("a", encoding="utf-8") as file:
                file.write(_rest_of(block) + block.code + "\n")
            written.setdefault((document, str(block.line)), place)
    return sorted({path.relative_to(folder) for path in written.values()})


def _rest_of(block: Block) -> str:
    """Return what stands for the rest of the file that a block is added to."""
    if block.file is None or not block.is_addition:
        return ""
    if block.file.endswith("settings.py"):
        return "INSTALLED_APPS, MIDDLEWARE, BASE_DIR = [], [], None\n"
    return f"from {block.file.removesuffix('.py').replace('/', '.')} import *\n"


main()
