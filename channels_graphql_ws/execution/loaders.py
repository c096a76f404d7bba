"""`info.context.data_loaders`: made when asked for, and anew for each event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from channels_graphql_ws.concurrency.placement import on_event_loop
from channels_graphql_ws.concurrency.thread_loop import lend_to_loader


class DataLoaders:
    """Makes data loaders, each when it is first asked for by its name.

    Of a query or mutation it is one loader of a name, of a subscription one for each event: an
    event never sees what an earlier one has cached. They are read as attributes or as items.

    Args:
        factories: by name; each is called without arguments, on the event loop or in a thread.
    """

    __slots__ = ("_factories", "_made")

    def __init__(self, factories: Mapping[str, Callable[[], Any]]) -> None:
        self._factories = factories
        self._made: dict[str, Any] = {}

    def forget(self) -> None:
        """Make new loaders from now on; what is still under way keeps its own."""
        if self._made:
            self._made = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __getitem__(self, name: str) -> Any:
        made = self._made
        if name not in made:
            if name not in self._factories:
                known = ", ".join(sorted(self._factories))
                raise KeyError(f"`data_loaders` has no {name!r}, it has: {known}")
            loader = self._factories[name]()
            if on_event_loop():
                lend_to_loader(loader, asyncio.get_running_loop())
            # Threads of one operation may ask at the same time.
            made.setdefault(name, loader)
        return made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __contains__(self, name: object) -> bool:
        return name in self._factories


def check_data_loaders(value: Any, name: str) -> None:
    """Check the option `data_loaders`.

    Raises:
        TypeError: it is not a mapping of names to factories.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {value!r}, it must be a mapping of names to factories")
    factories: Mapping[Any, Any] = value
    for key, factory in factories.items():
        if not (isinstance(key, str) and key.isidentifier() and not key.startswith("_")):
            raise TypeError(f"{name} has the name {key!r}, it must be a name for an attribute")
        if not callable(factory):
            raise TypeError(
                f"{name}[{key!r}] is {factory!r}; pass what makes a loader, such as its class, "
                "as each event needs a new one"
            )
