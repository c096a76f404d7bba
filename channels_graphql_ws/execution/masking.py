"""Keep from clients what they have no business with: unexpected errors, names of the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.core.exceptions import ValidationError
from graphql import GraphQLError

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.exceptions import ChannelLayerUnavailableError
from channels_graphql_ws.execution.unfit import is_unfit

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

HIDDEN: Final = (
    " (hidden from the client, see `mask_errors`; in tests, the setting "
    'CHANNELS_GRAPHQL_WS = {"DEBUG": True} shows such errors)'
)
"""What the log adds to an error that clients are not told of."""

UNAVAILABLE: Final = "Events are unavailable at the moment"
"""What a client is told of a channel layer that fails or does not answer."""

SERVICE_UNAVAILABLE: Final = "SERVICE_UNAVAILABLE"
"""`extensions.code` of that."""

OF_INPUT: Final = (ArithmeticError, TypeError, ValidationError, ValueError)
"""What a scalar raises because of its input, beside `GraphQLError`. With any other exception it
broke: that may say whatever somebody else has put into its text."""

_SUGGESTION: Final = " Did you mean "


def is_unexpected(error: Exception) -> bool:
    """Return whether nobody has raised an error for clients to read.

    A `GraphQLError` is raised for them, and so is what is wrong in a request: it has no path
    in the result, though the exception of a scalar that did not like its input may be behind
    it, see `OF_INPUT`. A scalar that broke is another thing: its database did not answer, or it
    has a mistake. What graphql-core raises about the value of a resolver is for
    nobody but the log.

    `mask_errors = True` hides such errors. A function of your own may ask this one first.
    """
    if unavailable(error) is not None:
        return False
    if not isinstance(error, GraphQLError) or is_unfit(error):
        return True
    cause = error.original_error
    if cause is None:
        return False
    return failure(error) is not None if error.path is None else is_unexpected(cause)


def failure(error: GraphQLError) -> Exception | None:
    """Return what broke in a scalar, if that is what is wrong with a request."""
    cause = _root(error)
    return None if error.path is not None or isinstance(cause, OF_INPUT) else cause


def unavailable(error: Exception) -> ChannelLayerUnavailableError | None:
    """Return what the channel layer could not do, if nothing else is wrong."""
    cause = _root(error)
    return cause if isinstance(cause, ChannelLayerUnavailableError) else None


def _root(error: Exception) -> Exception | None:
    """Return what an error was made of in the end; `None` if it was one itself."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


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
        if self.hides(error):
            return _replaced(error, f"{_before_cause(error)}{self.masked_error_message}")
        if (outage := unavailable(error)) is not None:
            # Which host does not answer is for those who read the texts of exceptions.
            text = "." if self.mask_errors is True else f": {outage}"
            return _replaced(error, f"{UNAVAILABLE}{text}", {"code": SERVICE_UNAVAILABLE})
        return error if self.introspection else without_suggestion(error)


def _before_cause(error: Exception) -> str:
    """Return what graphql-core says of a value that broke a scalar: which one, and what it is."""
    if not isinstance(error, GraphQLError) or error.path is not None:
        return ""
    cause = _root(error)
    text = "" if cause is None else str(cause)
    return error.message.removesuffix(text) if text and error.message.endswith(text) else ""


def _replaced(
    error: Exception, message: str, extensions: dict[str, str] | None = None
) -> GraphQLError:
    """Return another error with the same place in the result."""
    if not isinstance(error, GraphQLError):
        return GraphQLError(message, extensions=extensions)
    made = GraphQLError(message, path=error.path, extensions=extensions)
    made.nodes, made.source, made.positions = error.nodes, error.source, error.positions
    # To find them anew, all lines of the document would be counted again.
    made.locations = error.locations
    return made


NO_MASK: Final = Mask()
