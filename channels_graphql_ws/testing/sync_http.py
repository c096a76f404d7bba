"""`SyncGraphqlHttpClient`: what `GraphqlHttpClient` does, for tests without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterator, Mapping, Sequence
from http.cookies import SimpleCookie
from typing import Any, Generic, Self, TypeAlias, TypeVar

from graphql import ExecutionResult

from channels_graphql_ws.testing.http import GraphqlHttpClient, GraphqlHttpResult
from channels_graphql_ws.testing.login import login_headers
from channels_graphql_ws.testing.portal import Portal, ported, refuse_event_loop
from channels_graphql_ws.testing.results import GraphqlResults, Result, taken
from channels_graphql_ws.testing.scopes import Headers

Answer = TypeVar("Answer")
_Steps: TypeAlias = Generator[Result | BaseException | None, None, None]


class SyncGraphqlResults(Iterator[Result], Generic[Result]):
    """The results of a subscription: iterate over it.

    It begins with the first iteration, or with `with`, which waits until the server has dealt
    with it, so that what is broadcast from then on arrives. It ends with the last result, and
    when the `with` is left. Who has waited for a result in vain (`TimeoutError`) may wait again.
    """

    def __init__(self, results: GraphqlResults[Result]) -> None:
        self._steps = _steps(results)
        self._begun = False

    def __enter__(self) -> Self:
        """Begin, if that has not happened yet."""
        if not self._begun:
            self._begun = True
            next(self._steps)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.close()

    def __next__(self) -> Result:
        """Wait for the next result."""
        self.__enter__()
        result = next(self._steps)
        if isinstance(result, BaseException):
            raise result
        assert result is not None, "only the first step is none"
        return result

    def take(self, count: int) -> list[Result]:
        """Wait for so many results.

        Raises:
            AssertionError: there are fewer.
        """
        results = [result for _, result in zip(range(count), self, strict=False)]
        return taken(results, count)

    def close(self) -> None:
        """End the subscription; harmless when it has ended."""
        self._steps.close()


class SyncGraphqlHttpClient:
    """Does what `GraphqlHttpClient` does, and waits: for tests without an event loop.

    The database connection of the test, with its transaction, is the one that synchronous
    resolvers (`resolve_sync_in_threads`), Django's sessions and its asynchronous ORM use: it
    works in Django's `TestCase`. It takes the same arguments.
    """

    TIMEOUT: float = GraphqlHttpClient.TIMEOUT
    """Seconds that the application may take for anything."""

    def __init__(
        self,
        application: Any,
        path: str = "/graphql/",
        headers: Headers = None,
        *,
        csrf: bool = True,
    ) -> None:
        self._client = GraphqlHttpClient(ported(application), path, headers, csrf=csrf)
        self._client.TIMEOUT = self.TIMEOUT

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies of the client, to read and to set."""
        return self._client.cookies

    def force_login(self, user: Any, backend: str | None = None) -> None:
        """Begin a session for a user."""
        ((_, cookie),) = login_headers(user, backend)
        self.cookies.load(cookie.decode())

    def execute(
        self,
        query: str | None,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
        headers: Headers = None,
        method: str = "POST",
    ) -> GraphqlHttpResult:
        """Execute a query or a mutation, see `GraphqlHttpClient.execute`."""
        refuse_event_loop()
        return _waited_for(
            self._client.execute(
                query,
                variables,
                operation_name,
                parameters=parameters,
                files=files,
                headers=headers,
                method=method,
            )
        )

    def execute_batch(
        self, operations: Sequence[str | Mapping[str, Any]], *, headers: Headers = None
    ) -> list[GraphqlHttpResult]:
        """Execute several operations, see `GraphqlHttpClient.execute_batch`."""
        refuse_event_loop()
        return _waited_for(self._client.execute_batch(operations, headers=headers))

    def subscribe(
        self,
        query: str | None,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        headers: Headers = None,
    ) -> SyncGraphqlResults[ExecutionResult]:
        """Subscribe by server-sent events: `for result in client.subscribe(…)`."""
        results = self._client.subscribe(
            query, variables, operation_name, parameters=parameters, headers=headers
        )
        return SyncGraphqlResults(results)


def _waited_for(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    with Portal() as portal:
        return portal.run(coroutine)


def _steps(results: GraphqlResults[Result]) -> _Steps[Result]:
    """Yield `None` when the subscription has begun, then results and what ended a wait."""
    with Portal() as portal:
        try:
            portal.run(results.__aenter__())
            yield None
            while True:
                try:
                    step: Result | TimeoutError = portal.run(results.__anext__())
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    step = error
                yield step
        finally:
            portal.run(results.aclose())
