"""Results as `graphql` has them, built from what came over the wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from typing import Any, Generic, Self, TypeAlias, TypeVar

from graphql import ExecutionResult, GraphQLError, SourceLocation

from channels_graphql_ws.exceptions import RemoteProtocolError

Item = TypeVar("Item")
Result = TypeVar("Result", bound=ExecutionResult)
Eager: TypeAlias = AsyncGenerator[Result | BaseException | None]


class GraphqlResults(AsyncIterator[Result], Generic[Result]):
    """The results of a subscription: iterate over it.

    It begins with the first iteration, or with `async with`, which waits until the server
    has dealt with it, so that what is broadcast from then on arrives. It ends with the last
    result, when the `async with` is left, and when nobody iterates any more. Who has waited
    for a result in vain, by `asyncio.timeout`, may wait again.

    Args:
        steps: gives `None` when the subscription has begun, then the results. In between it
            gives what ended a wait, since an exception would end the generator.
    """

    def __init__(self, steps: Eager[Result]) -> None:
        self._steps = steps
        self._begun = False

    async def __aenter__(self) -> Self:
        """Begin, if that has not happened yet."""
        if not self._begun:
            self._begun = True
            await anext(self._steps)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await self.aclose()

    async def __anext__(self) -> Result:
        """Wait for the next result."""
        await self.__aenter__()
        result = await anext(self._steps)
        if isinstance(result, BaseException):
            raise result
        assert result is not None, "only the first step is none"
        return result

    async def take(self, count: int) -> list[Result]:
        """Wait for so many results.

        Raises:
            AssertionError: there are fewer.
        """
        results: list[Result] = []
        with contextlib.suppress(StopAsyncIteration):
            while len(results) < count:
                results.append(await anext(self))
        return taken(results, count)

    async def aclose(self) -> None:
        """End the subscription; harmless when it has ended."""
        await self._steps.aclose()


def taken(results: list[Result], count: int) -> list[Result]:
    """See that there are so many results.

    Raises:
        AssertionError: there are fewer.
    """
    if len(results) < count:
        raise AssertionError(f"Expected {count} results, there were {results}")
    return results


async def attempt(waiting: Awaitable[Item]) -> Item | BaseException:
    """Wait, and return what ends the wait where that is not an end of the subscription."""
    try:
        return await waiting
    except asyncio.CancelledError:
        # Not the one that was caught: its traceback would keep the generator alive.
        return asyncio.CancelledError()
    except TimeoutError as error:
        return TimeoutError(*error.args)


def execution_result(payload: Any) -> ExecutionResult:
    """Build the result from its JSON."""
    data, errors, extensions = parts(payload)
    return ExecutionResult(data, errors, extensions)


def parts(
    payload: Any,
) -> tuple[dict[str, Any] | None, list[GraphQLError] | None, dict[str, Any] | None]:
    """Return the data, the errors and the extensions of a result.

    Raises:
        RemoteProtocolError: it is not a result.
    """
    if not isinstance(payload, dict):
        raise RemoteProtocolError(f"Expected a result, the application sent {payload!r}")
    errors = payload.get("errors")
    rebuilt = None if errors is None else [graphql_error(each) for each in errors]
    return payload.get("data"), rebuilt, payload.get("extensions")


def graphql_error(error: Mapping[str, Any]) -> GraphQLError:
    """Build an error with all that the server told of it."""
    rebuilt = GraphQLError(
        error.get("message", ""), path=error.get("path"), extensions=error.get("extensions")
    )
    locations = error.get("locations")
    if locations:
        # The places are known, the document they are in is not.
        rebuilt.locations = [SourceLocation(each["line"], each["column"]) for each in locations]
    return rebuilt
