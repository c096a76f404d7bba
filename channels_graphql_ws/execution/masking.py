"""Keep from clients what they have no business with: the texts of unexpected errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from graphql import GraphQLError

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")


def is_unexpected(error: Exception) -> bool:
    """Tell if nobody has raised this for clients to read.

    That is for `GraphQLError`s, and what is wrong in a request: it has no path in the
    result, though the exception of a scalar that did not like its input may be behind it.
    """
    if not isinstance(error, GraphQLError):
        return True
    cause = error.original_error
    if cause is None or error.path is None:
        return False
    return is_unexpected(cause)


@dataclass(frozen=True, slots=True)
class Mask:
    """Puts another error in the place of those that are to be hidden.

    Attributes:
        mask_errors: whether unexpected ones are, or a function that tells of each error.
        masked_error_message: what clients read instead.
    """

    mask_errors: bool | Callable[[Exception], bool] = False
    masked_error_message: str = "Unexpected error."

    def hides(self, error: Exception) -> bool:
        """Tell if clients are not to read this."""
        if not callable(self.mask_errors):
            return self.mask_errors and is_unexpected(error)
        try:
            return bool(self.mask_errors(error))
        except Exception:
            log.exception("`mask_errors` failed: the error is hidden")
            return True

    def __call__(self, error: Exception) -> Exception:
        """Give the error that clients are told of: where it happened stays."""
        if not self.hides(error):
            return error
        if not isinstance(error, GraphQLError):
            return GraphQLError(self.masked_error_message)
        return GraphQLError(
            self.masked_error_message, error.nodes, error.source, error.positions, error.path
        )


NO_MASK = Mask()
