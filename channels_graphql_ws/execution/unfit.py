"""Tell what is wrong with a value of the application's from what it says to clients."""

from __future__ import annotations

from traceback import walk_tb
from typing import Final

from graphql import GraphQLError

_LIBRARIES: Final = frozenset({"channels_graphql_ws", "graphene", "graphene_django", "graphql"})

_MARK: Final = "is_about_unfit_value"


def unfit(error: GraphQLError) -> GraphQLError:
    """Mark an error about a value of a resolver that the type of its field cannot have.

    Its text has the value in it, whole objects included: it is a mistake of the application
    like any other exception, which clients may not be meant to read, and the log is. So is what
    a database says of values at the commit.
    """
    vars(error)[_MARK] = True
    return error


def unfit_if_of_library(error: GraphQLError) -> GraphQLError:
    """Mark an error that came up while a value was completed, if a library has raised it.

    What a scalar of the application's own has raised is meant for clients, as everywhere. So
    is what has a path: a field of the value has its own error.
    """
    *_, (frame, _) = walk_tb(error.__traceback__)
    module: str = frame.f_globals.get("__name__", "")
    is_of_library = error.path is None and module.partition(".")[0] in _LIBRARIES
    return unfit(error) if is_of_library else error


def is_unfit(error: GraphQLError) -> bool:
    """Return whether an error is marked."""
    return _MARK in vars(error)
