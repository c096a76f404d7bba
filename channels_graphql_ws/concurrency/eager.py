"""Run a generator's steps at once, and wait only where a step has to.

Most of what the server does for a message needs no waiting: the document is cached,
the hook is an ordinary function, the group is joined already. Written as a coroutine
it would need a task in any case. Written as a generator which yields whatever *may* be
awaitable, it runs to its end in the caller's turn, and only the rest of one that
really waits becomes a coroutine. User code is called, never half-run: a coroutine of
a user is always awaited inside a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

from graphql import ExecutionResult

T = TypeVar("T")

Eager = Generator[Any, Any, T]
"""Yields values or awaitables; is sent the value or the result of the awaitable."""


_PLAIN: Final[set[type[Any]]] = {
    type(None),
    bool,
    int,
    str,
    dict,
    list,
    tuple,
    ExecutionResult,
}
"""Classes of what hooks and resolvers give most often. To see that there is no such attribute
as `__await__` takes five times as long as to find the class here."""


def never_awaitable(cls: type[T]) -> type[T]:
    """Note that objects of exactly this class of ours cannot be awaited; a decorator."""
    _PLAIN.add(cls)
    return cls


PASSED_ON: Final = (Exception, asyncio.CancelledError, GeneratorExit)
"""What is an error of the user's code, or ends this code. Anything else that derives from
`BaseException` is a mistake in a hook, and costs no more than any other one: `SystemExit` and
`KeyboardInterrupt` would end the event loop, and so the server, which handles the signals for
that itself; those of other libraries (gevent, pytest) would pass by whoever is owed an answer."""


def survived(error: BaseException) -> RuntimeError:
    """Return an ordinary exception in the place of one that is not `PASSED_ON`."""
    made = RuntimeError(f"{type(error).__name__} was raised: {error}")
    made.__cause__ = error
    return made


def is_awaitable(value: object) -> bool:
    """Return whether `value` can be awaited; cheaper than `inspect.isawaitable`."""
    kind = type(value)
    return kind not in _PLAIN and hasattr(kind, "__await__")


def start(steps: Eager[T]) -> T | Coroutine[Any, Any, T]:
    """Take steps until one has to wait.

    Returns:
        What the generator returned or, where a step has to wait, a coroutine that
        takes the remaining steps and returns it. The caller must await that.
    """
    value: Any = None
    while True:
        try:
            value = steps.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except PASSED_ON:
            raise
        except BaseException as error:
            raise survived(error) from error
        if is_awaitable(value):
            return _finish(steps, value)


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task which may not have taken its first step.

    Not before it has, nor before the tasks have that graphql-core makes of it: what they
    are to await would never be awaited.
    """
    loop = task.get_loop()
    loop.call_soon(lambda: loop.call_soon(task.cancel))


def is_cancellation(error: BaseException) -> bool:
    """Return whether this task is being cancelled.

    Otherwise something was cancelled that the user's code waited for, and that is an
    error like any other: the client is owed an answer.
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def ends_running_code(error: BaseException) -> bool:
    """Return whether an exception is no error, but the end of the coroutine that has caught it."""
    return isinstance(error, GeneratorExit) or is_cancellation(error)


async def _finish(steps: Eager[T], step: Any) -> T:
    """Take the remaining steps, the first of which is the awaitable `step`."""
    while True:
        failure: BaseException | None = None
        value = None
        try:
            value = await step if is_awaitable(step) else step
        # All of it, cancellation too: the generator's own `finally` must run.
        except PASSED_ON as error:
            failure = error
        # A mistake of the user's code is an error like any other.
        except BaseException as error:  # noqa: BLE001
            failure = survived(error)
        try:
            step = steps.send(value) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except PASSED_ON:
            raise
        except BaseException as error:
            raise survived(error) from error
        finally:
            # Its traceback knows this frame: a cycle for each operation that is cancelled.
            failure = None
