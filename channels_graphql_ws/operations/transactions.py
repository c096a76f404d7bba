"""Execute a mutation in a database transaction, which a result with errors rolls back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from inspect import iscoroutine
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.execution.unfit import unfit

AtomicMutations: TypeAlias = bool | Sequence[str] | None
"""See `OperationOptions.atomic_mutations`."""

_ERRORS_FLAG: Final = "graphene_mutation_has_errors"
"""Set on `info.context` by the form and serializer mutations of graphene-django."""


def atomic_databases(option: AtomicMutations) -> list[str]:
    """Return the aliases of the databases that a mutation is to be atomic in."""
    if option is None:
        return [alias for alias in connections if _is_atomic(alias)]
    if isinstance(option, bool):
        return ["default"] if option else []
    return list(option)


def _is_atomic(alias: str) -> bool:
    database = connections.settings[alias]
    if database["ATOMIC_REQUESTS"] or database.get("ATOMIC_MUTATIONS"):
        return True
    graphene = getattr(settings, "GRAPHENE", {})
    return alias == "default" and bool(graphene.get("ATOMIC_MUTATIONS"))


def in_transactions(call: Callable[[], Any], aliases: Sequence[str], context: Any) -> Any:
    """Call in a transaction of each database; to be called in a thread.

    Args:
        call: executes the operation. Where it returns an awaitable, the transactions end before
            that is awaited: other threads and coroutines have other connections.
        aliases: of the databases.
        context: the `info.context`.
    """
    result: Any = None
    try:
        with ExitStack() as stack:
            for alias in aliases:
                stack.enter_context(transaction.atomic(using=alias))
            result = call()
            if _has_errors(result, context):
                for alias in aliases:
                    transaction.set_rollback(True, using=alias)
    # Constraints may be checked, and connections lost, as late as at the commit.
    except DatabaseError as error:
        told = unfit(GraphQLError(str(error), original_error=error))
        failure = ExecutionResult(None, [told])
        return _after(result, failure) if iscoroutine(result) else failure
    return result


async def _after(rest: Coroutine[Any, Any, Any], failure: ExecutionResult) -> ExecutionResult:
    """Let the asynchronous rest of a mutation end, and return what is told in place of it."""
    await rest
    return failure


def _has_errors(result: Any, context: Any) -> bool:
    has_errors = type(result) is ExecutionResult and bool(result.errors)
    return has_errors or getattr(context, _ERRORS_FLAG, False) is True
