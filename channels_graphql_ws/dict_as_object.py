"""The predecessor's name for the module of `DictAsObject`."""

from channels_graphql_ws.execution.context import DictAsObject

__all__ = ["DictAsObject"]
