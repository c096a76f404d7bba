"""Check the links between the project's documents: files must be there, and headings in them."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIRED = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PATTERNS = ("*.md", ".github/**/*.md", "docs/**/*.md", "example/**/*.md", "benchmarks/**/*.md")
LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
FENCED = re.compile(r"^(`{3,}).*?^\1`*$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def main() -> None:
    """Exit with the list of what is missing, if something is."""
    documents = {each for pattern in PATTERNS for each in ROOT.glob(pattern)}
    missing = [name for name in REQUIRED if ROOT / name not in documents]
    for document in sorted(documents):
        if not {".cache", "node_modules"} & {*document.parts}:
            missing += _broken_links(document)
    if missing:
        sys.exit("missing: " + ", ".join(missing))


def _broken_links(document: Path) -> list[str]:
    return [
        f"{found[0][2:-1]} (in {document.relative_to(ROOT)})"
        for found in LINK.finditer(FENCED.sub("", document.read_text(encoding="utf-8")))
        if not _is_there(document, found["file"], found["anchor"])
    ]


def _is_there(document: Path, file: str, anchor: str | None) -> bool:
    target = (document.parent / file) if file else document
    if not target.exists():
        return False
    return anchor is None or target.suffix != ".md" or anchor in _anchors(target.resolve())


@cache
def _anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub and the documentation's site make of the headings."""
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    anchors: set[str] = set()
    for heading in HEADING.findall(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(slug)
    return anchors


main()
