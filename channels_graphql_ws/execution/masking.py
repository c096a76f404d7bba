"""Keep from clients what they have no business with: unexpected errors, names of the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from graphql import GraphQLError

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.execution.unfit import is_unfit

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

HIDDEN: Final = (
    " (hidden from the client, see `mask_errors`; in tests, the setting "
    'CHANNELS_GRAPHQL_WS = {"DEBUG": True} shows such errors)'
)
"""What the log adds to an error that clients are not told of."""

_SUGGESTION: Final = " Did you mean "


def is_unexpected(error: Exception) -> bool:
    """Return whether nobody has raised an error for clients to read.

    A `GraphQLError` is raised for them, and so is what is wrong in a request: it has no path
    in the result, though the exception of a scalar that did not like its input may be behind
    it. What graphql-core raises about the value of a resolver is for nobody but the log.
    """
    if not isinstance(error, GraphQLError) or is_unfit(error):
        return True
    cause = error.original_error
    if cause is None or error.path is None:
        return False
    return is_unexpected(cause)


def without_suggestion(error: Exception) -> Exception:
    """Return an error about a request without the names that it suggests instead."""
    # What a resolver raises has a path, what a hook raises has no place in the document.
    if not isinstance(error, GraphQLError) or error.path is not None or not error.nodes:
        return error
    message, found, _ = error.message.partition(_SUGGESTION)
    if not found:
        return error
    return GraphQLError(
        message, error.nodes, error.source, error.positions, extensions=error.extensions
    )


@dataclass(frozen=True, slots=True)
class Mask:
    """Replaces errors by what clients may know of them.

    Attributes:
        mask_errors: whether unexpected ones are hidden, or a function that returns whether
            to hide an error.
        masked_error_message: what clients read instead.
        introspection: whether clients may learn names of the schema.
    """

    mask_errors: bool | Callable[[Exception], bool] = False
    masked_error_message: str = "Unexpected error."
    introspection: bool = True

    def hides(self, error: Exception) -> bool:
        """Return whether clients are not to read an error."""
        if not callable(self.mask_errors):
            return self.mask_errors and is_unexpected(error)
        try:
            return bool(self.mask_errors(error))
        except Exception:
            log.exception("`mask_errors` failed: the error is hidden")
            return True

    def __call__(self, error: Exception) -> Exception:
        """Return the error that clients are told of; it has the same place in the result."""
        if not self.hides(error):
            return error if self.introspection else without_suggestion(error)
        if not isinstance(error, GraphQLError):
            return GraphQLError(self.masked_error_message)
        masked = GraphQLError(self.masked_error_message, path=error.path)
        masked.nodes, masked.source, masked.positions = error.nodes, error.source, error.positions
        # To find them anew, all lines of the document would be counted again.
        masked.locations = error.locations
        return masked


NO_MASK: Final = Mask()
