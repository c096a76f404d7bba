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

from pages import blocks  # noqa: E402 (of the tests)

# Syntax errors, undefined names, unused imports.
RULES = "E9,F401,F811,F821"


def main() -> None:
    """Exit with what is missing, if something is."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
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
                file.write(_settings(block.file) + block.code + "\n")
            written.setdefault((document, str(block.line)), place)
    return sorted({path.relative_to(folder) for path in written.values()})


def _settings(file: str | None) -> str:
    """Return what the rest of a settings file defines."""
    if file is None or not file.endswith("settings.py"):
        return ""
    return "INSTALLED_APPS, MIDDLEWARE, BASE_DIR = [], [], None\n"


main()
