"""Shows the documents beside `docs/` in the repository, with links as the site needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]

PAGES = {
    "architecture": "ARCHITECTURE.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security-policy": "SECURITY.md",
}


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the text of such a page by that of its document."""
    if page not in PAGES:
        return
    file = ROOT / PAGES[page]
    app.env.note_dependency(str(file))
    text = file.read_text(encoding="utf-8").replace("](docs/", "](")
    for name, document in PAGES.items():
        text = text.replace(f"]({document}", f"]({name}.md")
    source[0] = text


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what reads the pages."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
