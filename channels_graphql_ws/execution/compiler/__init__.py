"""Compile the selections of an operation once, and run them for each query and event."""

from channels_graphql_ws.execution.core_version import check_core_version

# Before what follows finds that names are missing in another release.
check_core_version()

from channels_graphql_ws.execution.compiler.event import EventField, EventRoot  # noqa: E402
from channels_graphql_ws.execution.compiler.operation import (  # noqa: E402
    CompiledOperation,
    compile_operation,
)

__all__ = ["CompiledOperation", "EventField", "EventRoot", "compile_operation"]
