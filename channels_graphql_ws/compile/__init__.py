"""Compile the selections of an operation once, and run them for each query and event."""

from .event import Binding, EventRoot
from .operation import CompiledOperation, compile_operation

__all__ = ["Binding", "CompiledOperation", "EventRoot", "compile_operation"]
