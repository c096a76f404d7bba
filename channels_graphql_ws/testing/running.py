"""An ASGI application that runs in this process, without a server."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from asgiref.testing import ApplicationCommunicator
from channels.routing import get_default_application

from channels_graphql_ws.exceptions import ConnectionClosedError
from channels_graphql_ws.testing.transaction import in_transaction_of_test

Event = dict[str, Any]


_NO_DATABASE: Final = "Database access not allowed"
"""What pytest-django says to a test without a database."""


class RunningApplication:
    """One run of an application: what goes in and what comes out."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        check_application(application)
        new_communicator: Any = ApplicationCommunicator  # asgiref has no types here
        communicator = new_communicator(in_transaction_of_test(application), scope)
        # Held because the communicator cancels the application when it is deleted.
        self._communicator = communicator
        self._inputs: asyncio.Queue[Event] = communicator.input_queue
        self._outputs: asyncio.Queue[Event | None] = communicator.output_queue
        self._task: asyncio.Task[None] = communicator.future
        # `None` behind the last event wakes a caller that waits for one more.
        self._task.add_done_callback(lambda _: self._outputs.put_nowait(None))
        self._hung_up = False

    def begin(self, event: Event) -> None:
        """Pass the first event, also to an application that had no need of it."""
        self._inputs.put_nowait(event)

    def send(self, event: Event) -> None:
        """Pass an event to the application.

        Raises:
            ConnectionClosedError: it has ended. If it has failed: its exception.
        """
        if self._task.done():
            raise self._failure() or self.end_error()
        self._inputs.put_nowait(event)

    async def next_event(self) -> Event:
        """Wait for what the application sends.

        Raises:
            ConnectionClosedError: it has ended. If it has failed: its exception.
        """
        event = await self._outputs.get()
        if event is None:
            self._outputs.put_nowait(None)
            raise self._failure() or self.end_error()
        return event

    def hang_up(self, event: Event) -> None:
        """Tell the application, once, that its client has left."""
        if not self._hung_up:
            self._hung_up = True
            self._inputs.put_nowait(event)

    async def finish(self, timeout: float | None) -> list[Event]:
        """Wait until the application has ended; return what nobody has read.

        Raises:
            TimeoutError: it had to be cancelled.
        """
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        if not done:
            await self.cancel()
            raise TimeoutError(f"The application still ran {timeout} s after the disconnect")
        unread: list[Event] = []
        while (event := self._outputs.get_nowait()) is not None:
            unread.append(event)
        return unread

    def raise_failure(self) -> None:
        """Raise what the application has raised, if it has ended by that."""
        if failure := self._failure():
            raise failure

    async def cancel(self) -> None:
        """End the application by force."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def end_error(self) -> Exception:
        """Build the error for an application that has ended where it was still needed."""
        return ConnectionClosedError("The application ended without closing")

    def _failure(self) -> BaseException | None:
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and _NO_DATABASE in str(error) and not hasattr(error, "__notes__"):
            error.add_note(
                "The application looks up sessions and users (`AuthMiddlewareStack`, which the "
                "router has by default): mark the test with `django_db`, or test an application "
                "without that, such as `MyConsumer.as_asgi()`"
            )
        return error


def as_asgi(application: Any = None) -> Any:
    """Return the application of a consumer class, or of the project; any other as it is.

    Raises:
        TypeError: it cannot be called.
    """
    if application is None:
        return get_default_application()
    if hasattr(application, "as_asgi"):
        return application.as_asgi()
    check_application(application)
    return application


def check_application(application: Any) -> None:
    """Refuse what no server could call.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(application):
        raise TypeError(
            f"{application!r} is not an ASGI application: pass that of the project, "
            "`MyConsumer.as_asgi()`, or `GraphqlProtocolTypeRouter(schema)`"
        )
