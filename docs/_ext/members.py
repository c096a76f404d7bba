"""Directives that list the options or the hooks of a class, each with its docstring.

Both take the path of the class, and have no content.
"""

from __future__ import annotations

from importlib import import_module
from inspect import getmro, isroutine
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from channels_graphql_ws.operations.options import option_names
from channels_graphql_ws.operations.overrides import overridden


class _Members(SphinxDirective):
    required_arguments = 1
    directive: ClassVar[str]

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of each member, in the order of the source."""
        path: str = self.arguments[0]
        cls = _object(path)
        lines = [f".. {self.directive}:: {path}.{name}" for name in self.names(cls)]
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))

    def names(self, cls: type[Any]) -> list[str]:
        """Return the names to list."""
        raise NotImplementedError


class Options(_Members):
    """Lists the attributes that a subclass may set."""

    directive = "autoattribute"

    def names(self, cls: type[Any]) -> list[str]:
        """Return the names of the options."""
        return _in_order_of_source(cls, option_names(cls))


class Hooks(_Members):
    """Lists the methods that a subclass may override."""

    directive = "automethod"

    def names(self, cls: type[Any]) -> list[str]:
        """Return the names of methods that are marked as defaults."""
        methods = {
            name
            for name in dir(cls)
            if not name.startswith("__") and isroutine(getattr(cls, name))
        }
        return _in_order_of_source(cls, {each for each in methods if not overridden(cls, each)})


def _in_order_of_source(cls: type[Any], names: set[str]) -> list[str]:
    """Return the names that a class and its bases define, bases last."""
    found = [name for each in getmro(cls) for name in vars(each) if name in names]
    return list(dict.fromkeys(found))


def _object(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("options", Options)
    app.add_directive("hooks", Hooks)
    return {"parallel_read_safe": True}
