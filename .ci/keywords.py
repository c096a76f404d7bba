"""Write `operations/keywords.py`: the options as type checkers see them in calls.

An option is declared once, as an attribute, and type checkers cannot make keyword arguments of
attributes. With `--check`, exit with 1 if the file is not what would be written.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from django.conf import settings

settings.configure()

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer  # noqa: E402
from channels_graphql_ws.operations.option_values import option_names  # noqa: E402

FILE = ROOT / "channels_graphql_ws" / "operations" / "keywords.py"

HEAD = '''"""Options as keyword arguments: for type checkers, and written by `.ci/keywords.py`.

The attributes are the declarations; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypedDict

from graphql import ASTValidationRule, MiddlewareManager

from channels_graphql_ws.operations.transactions import AtomicMutations
from channels_graphql_ws.subscription.declaration import GapPolicy
'''

CLASSES = '''

class {name}({bases}):
    """{doc}"""

{fields}
'''


def main() -> None:
    """Write the file, or compare."""
    text = _text()
    if "--check" not in sys.argv:
        FILE.write_text(text, encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text:
        sys.exit("operations/keywords.py does not have all options: run `python .ci/keywords.py`")


def _text() -> str:
    websocket, http = option_names(GraphqlWsConsumer), option_names(GraphqlHttpConsumer)
    common = (websocket & http) - {"schema"}
    types = _types(GraphqlHttpConsumer) | _types(GraphqlWsConsumer)
    parts = [
        (
            "CommonKeywords",
            "TypedDict, total=False",
            "Options of all consumers and views.",
            common,
        ),
        (
            "OwnWebSocketKeywords",
            "CommonKeywords, total=False",
            "Options of WebSocket consumers, without the schema.",
            websocket - http,
        ),
        (
            "OwnHttpKeywords",
            "CommonKeywords, total=False",
            "Options of what serves HTTP, without the schema.",
            http - websocket,
        ),
        (
            "RouterKeywords",
            "OwnWebSocketKeywords, OwnHttpKeywords, total=False",
            "Options that the router hands on.",
            set(),
        ),
        (
            "WebSocketKeywords",
            "OwnWebSocketKeywords, total=False",
            "What `GraphqlWsConsumer.as_asgi()` takes.",
            {"schema"},
        ),
        (
            "HttpKeywords",
            "OwnHttpKeywords, total=False",
            "What `GraphqlHttpConsumer.as_asgi()` and `GraphqlView.as_view()` take.",
            {"schema"},
        ),
    ]
    return HEAD + "".join(
        CLASSES.format(
            name=name,
            bases=bases,
            doc=doc,
            fields="\n".join(f"    {each}: {types[each]}" for each in sorted(names)),
        ).rstrip()
        + "\n"
        for name, bases, doc, names in parts
    )


def _types(cls: type) -> dict[str, str]:
    """Return the type of each option, as the source spells it, without what checks need."""
    return {
        name: _plain(annotation)
        for base in reversed(cls.__mro__)
        if base.__module__.startswith("channels_graphql_ws.")
        for name, annotation in vars(base).get("__annotations__", {}).items()
    }


def _plain(annotation: str) -> str:
    tree = ast.parse(annotation, mode="eval").body
    if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name):
        if tree.value.id == "Annotated":
            assert isinstance(tree.slice, ast.Tuple)
            return _plain(ast.unparse(tree.slice.elts[0]))
        if tree.value.id == "ClassVar":
            return _plain(ast.unparse(tree.slice))
    return ast.unparse(tree)


main()
