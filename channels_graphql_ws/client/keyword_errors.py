"""Calls of the client that Python refuses for a keyword: say what may have been meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from channels_graphql_ws.spelling import similar_name

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

_OF_OTHERS: Final = {
    "init_payload": "connection_params",
    "token": "headers={'Authorization': …}` or `connection_params={'token': …}",
    "reconnecting": "retry=Retry(…)",
    "ping_interval": "keep_alive",
    "variable_values": "variables",
    "operationName": "operation_name",
}
"""What other clients have, and what takes its place."""


def explains_keywords(method: Callable[_Given, _Answer]) -> Callable[_Given, _Answer]:
    """Let a method say what it takes, if it is called with something else."""

    @wraps(method)
    def called(*args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        try:
            return method(*args, **kwargs)
        except TypeError:
            if (error := keyword_error(method, kwargs)) is None:
                raise
        raise error

    return called


def keyword_error(method: Callable[..., Any], given: Iterable[str]) -> TypeError | None:
    """Return the error for a keyword that a method does not take; `None` if it takes all."""
    names = list(inspect.signature(method).parameters)[1:]
    unknown = next((each for each in given if each not in names), None)
    if unknown is None:
        return None
    call = method.__qualname__.removesuffix(".__init__")
    meant = _OF_OTHERS.get(unknown) or similar_name(unknown, names)
    if meant is not None and meant.partition("=")[0] in names:
        hint = f", did you mean `{meant}`?"
    elif "variables" in names:
        hint = f": variables are one dict, `variables={{{unknown!r}: …}}`"
    else:
        hint = f": it takes {', '.join(names)}"
    return TypeError(f"{call}() has no argument {unknown!r}{hint}")
