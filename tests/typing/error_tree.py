"""What type checkers know of the errors: checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

from channels_graphql_ws.exceptions import ConnectionClosedError, GraphqlWsError


def close_code_may_be_missing(error: ConnectionClosedError) -> GraphqlWsError:
    """A caller has to reckon with a connection that ended without a close frame."""
    assert_type(error.code, int | None)
    assert_type(error.reason, str)
    return error
