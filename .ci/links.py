"""Check that every file of the project which a document links to is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIRED = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
LINK = re.compile(r"\]\((?!\w+:|#)(?P<target>[^)#\s]+)")


def main() -> None:
    """Exit with the list of what is missing, if something is."""
    documents = [ROOT / name for name in REQUIRED]
    documents += [*ROOT.glob("docs/**/*.md"), *ROOT.glob("example/*.md")]
    missing = [str(each.relative_to(ROOT)) for each in documents if not each.exists()]
    for document in documents:
        if document.exists():
            missing += _broken_links(document)
    if missing:
        sys.exit("missing: " + ", ".join(missing))


def _broken_links(document: Path) -> list[str]:
    targets = [found["target"] for found in LINK.finditer(document.read_text(encoding="utf-8"))]
    return [
        f"{target} (in {document.relative_to(ROOT)})"
        for target in targets
        if not (document.parent / target).exists()
    ]


main()
