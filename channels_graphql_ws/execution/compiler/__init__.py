"""Compile the selections of an operation once, and run them for each query and event."""

from channels_graphql_ws.execution.compiler.event import EventField, EventRoot
from channels_graphql_ws.execution.compiler.operation import CompiledOperation, compile_operation

__all__ = ["CompiledOperation", "EventField", "EventRoot", "compile_operation"]
