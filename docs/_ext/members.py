"""Directives that list the options or the hooks of a class, each with its docstring.

Both take the path of the class, and have no content.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from inspect import getmro, isroutine
from typing import Any, ClassVar, get_args, get_origin

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import stringify_annotation

from channels_graphql_ws.operations.defaults import FromSettings
from channels_graphql_ws.operations.option_values import option_names
from channels_graphql_ws.operations.overrides import overridden


class _Members(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of each member, in the order of the source."""
        path: str = self.arguments[0]
        cls = _object(path)
        lines: list[str] = []
        for name in self.names(cls):
            lines += self.directive(cls, path, name)
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))

    def names(self, cls: type[Any]) -> list[str]:
        """Return the names to list."""
        raise NotImplementedError

    def directive(self, cls: type[Any], path: str, name: str) -> list[str]:
        """Return the lines of the directive for one member."""
        raise NotImplementedError


class Options(_Members):
    """Lists the attributes that a subclass may set, with their types and defaults."""

    def names(self, cls: type[Any]) -> list[str]:
        """Return the names of the options."""
        return _in_order_of_source(cls, option_names(cls))

    def directive(self, cls: type[Any], path: str, name: str) -> list[str]:
        """Return a directive with the plain type: ranges are for the checks."""
        type_ = stringify_annotation(_type_of(cls, name), mode="smart").replace("~", "")
        return [
            f".. autoattribute:: {path}.{name}",
            f"   :annotation: : {type_}{_default(cls, name)}",
        ]


class Hooks(_Members):
    """Lists the methods that a subclass may override."""

    def names(self, cls: type[Any]) -> list[str]:
        """Return the names of methods that are marked as defaults."""
        methods = {
            name
            for name in dir(cls)
            if not name.startswith("__") and isroutine(getattr(cls, name))
        }
        return _in_order_of_source(cls, {each for each in methods if not overridden(cls, each)})

    def directive(self, cls: type[Any], path: str, name: str) -> list[str]:
        """Return autodoc's directive."""
        del cls
        return [f".. automethod:: {path}.{name}"]


def _in_order_of_source(cls: type[Any], names: set[str]) -> list[str]:
    """Return the names that a class and its bases define, bases last."""
    found = [
        name
        for each in getmro(cls)
        for name in (*vars(each), *vars(each).get("__annotations__", ()))
        if name in names
    ]
    return list(dict.fromkeys(found))


def _type_of(cls: type[Any], name: str) -> Any:
    for base in getmro(cls):
        if name in vars(base).get("__annotations__", ()):
            hint = inspect.get_annotations(base, eval_str=True)[name]
            while hasattr(hint, "__metadata__"):
                hint = hint.__origin__
            return get_args(hint)[0] if get_origin(hint) is ClassVar else hint
    raise LookupError(f"{cls.__qualname__}.{name} is not annotated")


def _default(cls: type[Any], name: str) -> str:
    found = next((vars(each)[name] for each in getmro(cls) if name in vars(each)), None)
    if isinstance(found, FromSettings):
        return ""
    return f" = {getattr(cls, name)!r}" if hasattr(cls, name) else ""


def _object(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("options", Options)
    app.add_directive("hooks", Hooks)
    return {"parallel_read_safe": True}
