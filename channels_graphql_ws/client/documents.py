"""Read a GraphQL document: its text, its operations and their kinds."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

OperationKind: TypeAlias = Literal["query", "mutation", "subscription"]

Document: TypeAlias = Any
"""Text, a `graphql.DocumentNode`, or what has one as its `document` (as gql's requests)."""

# Strings and comments are skipped, since they may hold anything. Directives and variables
# carry names that are not those of operations.
_TOKENS = re.compile(
    r'"""(?:\\"""|(?!""").)*"""|"(?:\\.|[^"\\\n])*"|\#[^\n]*|[@$]\s*\w+'
    r"|(?P<open>[{(\[])|(?P<close>[})\]])|(?P<name>[_A-Za-z]\w*)",
    re.DOTALL,
)

_KINDS = frozenset({"query", "mutation", "subscription"})


@dataclass(frozen=True, slots=True)
class DeclaredOperation:
    """One operation of a document; the shorthand `{ field }` is a query without a name."""

    kind: str
    name: str | None = None

    def __str__(self) -> str:
        """Return how errors name the operation."""
        return f"The {self.kind} {self.name}" if self.name else f"The {self.kind}"


def document_text(document: Document) -> str:
    """Return the text of a document.

    Raises:
        TypeError: it is not a document.
    """
    if isinstance(document, str):
        return document
    # A program that has a node has imported graphql-core; others do not need it.
    graphql: Any = sys.modules.get("graphql")
    node = getattr(document, "document", document)
    if graphql is not None and isinstance(node, graphql.DocumentNode):
        return str(graphql.print_ast(node))
    raise TypeError(f"A document must be text or a graphql.DocumentNode, not {document!r}")


def choose_operation(text: str, operation_name: str | None) -> DeclaredOperation:
    """Return the operation of a document that is to run.

    A document without an operation is sent as it is: the server says what is wrong with it.

    Raises:
        ValueError: the name is not in the document, or is needed and missing.
    """
    declared = declared_operations(text)
    if operation_name is not None:
        chosen = [each for each in declared if each.name == operation_name]
        if declared and not chosen:
            raise ValueError(
                f"The document has no operation {operation_name!r}, {_named(declared)}"
            )
        return chosen[0] if chosen else DeclaredOperation("operation", operation_name)
    if len(declared) > 1:
        raise ValueError(
            f"The document has several operations: give operation_name, {_named(declared)}"
        )
    return declared[0] if declared else DeclaredOperation("operation")


@lru_cache(maxsize=512)
def declared_operations(text: str) -> tuple[DeclaredOperation, ...]:
    """Return the operations that a document declares, in its order."""
    found: list[DeclaredOperation] = []
    depth = 0
    kind: str | None = None  # of the definition whose `{` has not come yet
    name: str | None = None
    for token in _TOKENS.finditer(text):
        match token.lastgroup, token[0]:
            case "open", bracket:
                if depth == 0 and bracket == "{":
                    if kind is None or kind in _KINDS:
                        found.append(DeclaredOperation(kind or "query", name))
                    kind = name = None
                depth += 1
            case "close", _:
                depth -= 1
            case "name", word if depth == 0 and kind is None:
                kind = word
            case "name", word if depth == 0 and name is None:
                name = word
            case _:
                pass
    return tuple(found)


def _named(declared: tuple[DeclaredOperation, ...]) -> str:
    return f"it declares {', '.join(repr(each.name or each.kind) for each in declared)}"
