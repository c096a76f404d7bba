"""A GraphQL request, whichever transport it came by, and why one was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

OperationId: TypeAlias = str | int
"""A string; the legacy subprotocol also takes integers, as its servers always did."""

JsonObject: TypeAlias = Mapping[str, Any]

MAX_ID_LENGTH: Final = 1_000
"""Characters of the id that a client has chosen for an operation: each event repeats it."""


class Refusal(Enum):
    """Why an operation ended in an `Error`; the dialects word these differently."""

    REQUEST = "there is no document"
    DOCUMENT = "the document does not parse or validate"
    OPERATION = "the operation was refused before it was looked at"
    SUBSCRIBE = "subscribing failed"
    STREAM = "what feeds the subscription has failed"
    DUPLICATE = "the id is in use"
    UNAVAILABLE = "the channel layer cannot be used at the moment"
    INTERNAL = "something broke that is not the client's fault"


_NOTHING: Final[dict[str, Any]] = {}
"""What is left of the objects in a message: the same for all, and never changed."""


@dataclass(slots=True)
class Subscribe:
    """Starts an operation of any kind."""

    id: OperationId
    query: str
    """The document; empty if the client only names one."""
    variables: dict[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    extensions: JsonObject | None = None
    payload: JsonObject = field(default_factory=dict)
    """All that the client sent, unknown keys included, if there is a hook to see it."""
    has_query: bool = True
    """Whether there is a document, be it an empty one."""

    def for_hook(self) -> dict[str, Any]:
        """Return the payload for a hook, which may change it: there always is a `query`."""
        return {**self.payload, "query": self.query}

    def release(self) -> None:
        """Forget all but the id, once nothing else is needed."""
        self.query = ""
        self.variables, self.payload, self.extensions = _NOTHING, _NOTHING, None
