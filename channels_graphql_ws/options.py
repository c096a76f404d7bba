"""Options of consumers and views: class attributes, or keyword arguments of the same names."""

from __future__ import annotations

from difflib import get_close_matches
from inspect import isroutine
from typing import Any, TypeVar

from graphql import GraphQLSchema

T = TypeVar("T")

_NO_OPTIONS = frozenset({"groups", "view_is_async", "http_method_names"})


def option_names(cls: type[Any]) -> set[str]:
    """Give the names of a class's options: public attributes that are no methods."""
    return {
        name
        for name in dir(cls)
        if not name.startswith("_")
        and name not in _NO_OPTIONS
        and not isroutine(getattr(cls, name))
        and not isinstance(getattr(cls, name), property)
    } | {"schema"}


def check_options(given: dict[str, Any], known: set[str], what: str) -> None:
    """See if all options are known.

    Raises:
        TypeError: one is not; the text suggests what may have been meant.
    """
    for name in given:
        if name not in known:
            similar = get_close_matches(name, known, 1)
            hint = f", did you mean {similar[0]!r}?" if similar else ""
            raise TypeError(f"{what} has no option {name!r}{hint}")


def with_options(cls: type[T], options: dict[str, Any]) -> type[T]:
    """Give a subclass with these options; hooks have to be overridden in a subclass."""
    if not options:
        return cls
    # A function would become a method; options that are callables stay what they are.
    attributes = {
        name: staticmethod(value) if isroutine(value) else value for name, value in options.items()
    }
    subclass: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, **attributes})
    return subclass  # type: ignore[no-any-return]


def core_schema(schema: Any) -> GraphQLSchema:
    """Give graphql-core's schema of whatever carries one.

    Raises:
        TypeError: there is none to be found.
    """
    # Graphene has the first, Strawberry the second.
    carried = (getattr(schema, name, None) for name in ("graphql_schema", "_schema", "schema"))
    for each in (schema, *carried):
        if isinstance(each, GraphQLSchema):
            return each
    raise TypeError(
        f"{schema!r} is no schema: give a `graphene.Schema`, a `graphql.GraphQLSchema`, or "
        "something that has one"
    )
