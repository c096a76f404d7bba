"""Compile the selections of an operation once, and run them for each query and event."""

from .event import EventField, EventRoot
from .operation import CompiledOperation, compile_operation

__all__ = ["CompiledOperation", "EventField", "EventRoot", "compile_operation"]
