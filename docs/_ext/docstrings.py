"""Reads docstrings as this project writes them: Google style, with code in single backticks."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

# An odd backtick may open code that ends on the next line.
_CODE = re.compile(r"(?<![`:\w])`([^`]+)`(?!`)(\w?)")


class _Docstring(GoogleDocstring):
    """A section "Returns" is a sentence, in which a colon means what it means in English."""

    def _consume_returns_section(
        self,
        preprocess_types: bool = False,  # noqa: FBT001, FBT002 (Sphinx passes it so)
    ) -> list[tuple[str, str, list[str]]]:
        del preprocess_types
        lines = self._dedent(self._consume_to_next_section())
        return [("", "", lines)] if lines else []


def to_restructured_text(
    app: Sphinx, what: Any, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Replace the lines of a docstring by reStructuredText."""
    del app
    text = _CODE.sub(_literal, "\n".join(lines))
    # The docstring of an attribute is a sentence, too, and has no sections.
    if what not in {"attribute", "data"}:
        text = str(_Docstring(text, what=what, name=name, obj=obj, options=options))
    lines[:] = [*text.splitlines(), ""]


def _literal(found: re.Match[str]) -> str:
    # "`Group`s": the end of a literal needs a space behind it, which a backslash takes away.
    return f"``{found[1]}``" + (f"\\ {found[2]}" if found[2] else "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what autodoc asks about each docstring."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", to_restructured_text)
    return {"parallel_read_safe": True}
