"""The module under which releases 0.4 to 0.9 of the predecessor had their context."""

from __future__ import annotations

from typing import Any

from channels_graphql_ws.execution.context import DictAsObject

__all__ = ["ScopeAsContext"]


class ScopeAsContext(DictAsObject):
    """Reads and writes the scope of a connection as attributes.

    Args:
        scope: is kept, not copied.
    """

    __slots__ = ()

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__(scope)

    @property
    def _scope(self) -> dict[str, Any]:
        """The scope itself."""
        return self._asdict()
