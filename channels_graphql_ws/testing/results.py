"""Results as `graphql` has them, built from what came over the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Generic, Self, TypeVar

from graphql import ExecutionResult, GraphQLError, SourceLocation

Result = TypeVar("Result", bound=ExecutionResult)


class GraphqlResults(AsyncIterator[Result], Generic[Result]):
    """The results of a subscription: iterate over it.

    It begins with the first iteration, or with `async with`, which waits until the server
    has dealt with it, so that what is broadcast from then on arrives. It ends with the last
    result, when the `async with` is left, and when nobody iterates any more.
    """

    def __init__(self, steps: AsyncGenerator[Result | None]) -> None:
        self._steps = steps
        self._begun = False

    async def __aenter__(self) -> Self:
        """Begin, if that has not happened yet."""
        if not self._begun:
            self._begun = True
            # The first step is not a result, it is the beginning.
            await anext(self._steps)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await self.aclose()

    async def __anext__(self) -> Result:
        """Wait for the next result."""
        await self.__aenter__()
        result = await anext(self._steps)
        assert result is not None, "only the first step is none"
        return result

    async def take(self, count: int) -> list[Result]:
        """Wait for so many results.

        Raises:
            AssertionError: there are fewer.
        """
        taken: list[Result] = []
        while len(taken) < count:
            try:
                taken.append(await anext(self))
            except StopAsyncIteration:
                raise AssertionError(f"Expected {count} results, there were {taken}") from None
        return taken

    async def aclose(self) -> None:
        """End the subscription; harmless when it has ended."""
        await self._steps.aclose()


def execution_result(payload: Any) -> ExecutionResult:
    """Build the result from its JSON."""
    data, errors, extensions = parts(payload)
    return ExecutionResult(data, errors, extensions)


def parts(
    payload: Any,
) -> tuple[dict[str, Any] | None, list[GraphQLError] | None, dict[str, Any] | None]:
    """Give the data, the errors and the extensions of a result."""
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
