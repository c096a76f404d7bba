"""Ask all processes for their connections, over the channel layer, and end one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from channels.layers import InMemoryChannelLayer

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.operations.answers import ANSWER, QUESTION, answer_here
from channels_graphql_ws.operations.listing import MOST_LISTED, ListedProcess
from channels_graphql_ws.operations.revocation import messages_to_all
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, within
from channels_graphql_ws.pubsub.hub import hubs_of_process
from channels_graphql_ws.pubsub.layers import DirectLayer, destinations
from channels_graphql_ws.pubsub.listen_to_channel import OwnChannel, listen
from channels_graphql_ws.pubsub.publisher import running_loop
from channels_graphql_ws.pubsub.sender_thread import current_sender
from channels_graphql_ws.settings import project_settings
from channels_graphql_ws.subscription.sending import Addressed, send_async

log = ClientLog("channels_graphql_ws.broadcast")

TIMEOUT: Final = 1.0
"""Seconds that processes may take to answer."""

MOST_ANSWERS: Final = 10_000
"""Answers that may wait to be read."""

IN_MEMORY: Final = (
    "InMemoryChannelLayer does not cross processes: only the connections of this process are known"
)

ONLY_LOGGED_IN: Final = (
    "Processes answer that a user who is logged in is connected to. Set "
    'CHANNELS_GRAPHQL_WS = {"LIST_CONNECTIONS": True} to hear from the others, too'
)

NOBODY_KNOWS: Final = (
    "How many processes there are is not known: those that did not answer in time are missing"
)

Known: TypeAlias = dict[str, ListedProcess]
"""Answers by the ids of processes."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What processes have answered.

    Attributes:
        processes: those that did, by name.
        notes: texts that say what may be missing.
    """

    processes: tuple[ListedProcess, ...]
    notes: tuple[str, ...]

    @property
    def ended(self) -> int:
        """How many connections were ended."""
        return sum(each.ended for each in self.processes)


async def ask_for_connections(
    search: str = "",
    limit: int = MOST_LISTED,
    *,
    seconds: float = TIMEOUT,
    processes: int | None = None,
) -> Answers:
    """Ask all processes for their connections.

    Args:
        search: the id of one, or the id or a part of the name of a user; empty for all.
        limit: how many each process lists at most.
        seconds: how long they may take.
        processes: ask no longer than until so many have answered.

    Raises:
        ChannelLayerError: no channel layer is configured, or it failed.
    """
    question = {"key": QUESTION, "search": search, "limit": limit}
    enough = None if processes is None else lambda known: len(known) >= processes
    return await _asked(question, seconds, enough)


async def end_connection(id: str, *, seconds: float = TIMEOUT) -> Answers:
    """End the connection of an id, in whichever process it is.

    Raises:
        ChannelLayerError: no channel layer is configured, or it failed.
    """
    return await _asked({"key": QUESTION, "end": id}, seconds, _has_ended)


def in_plain_code(make: Callable[[], Awaitable[Answers]]) -> Answers:
    """Wait in plain code for one of these coroutines.

    It runs on the event loop that serves clients, if this process has one: some channel layers,
    such as `channels_redis.core`, are read by one event loop only. Else on that of broadcasts.

    Raises:
        Exception: what the coroutine raises.
    """
    serving = _serving_loop()
    if serving is not None:
        return asyncio.run_coroutine_threadsafe(_awaited(make), serving).result()
    results: list[Answers] = []

    async def run() -> None:
        results.append(await make())

    current_sender().run(run)
    return results[0]


def _serving_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that reads from channel layers; `None` without one to wait for."""
    here = running_loop()
    loops = (hub.loop for hub in hubs_of_process())
    return next((each for each in loops if each is not here and each.is_running()), None)


async def _awaited(make: Callable[[], Awaitable[Answers]]) -> Answers:
    return await make()


def _has_ended(known: Known) -> bool:
    return any(each.ended for each in known.values())


async def _asked(
    question: Mapping[str, Any], seconds: float, enough: Callable[[Known], bool] | None
) -> Answers:
    known: Known = {}
    here = await answer_here(question)
    if here.connections or here.ended:
        _take(known, here.encoded())
    layers: list[Any] = list(dict.fromkeys(layer for layer, _ in destinations()))
    beyond = [layer for layer in layers if not isinstance(layer, InMemoryChannelLayer)]
    for layer in beyond:
        await _ask(layer, question, seconds, known, enough or _never)
    processes = sorted(known.values(), key=lambda each: each.name)
    return Answers(tuple(processes), tuple(_notes(beyond, enough)))


def _notes(beyond: Iterable[object], enough: object) -> Iterable[str]:
    if not beyond:
        yield IN_MEMORY
        return
    if not project_settings.get("LIST_CONNECTIONS"):
        yield ONLY_LOGGED_IN
    if enough is None:
        yield NOBODY_KNOWS


def _never(_: Known) -> bool:
    return False


async def _ask(
    layer: DirectLayer,
    question: Mapping[str, Any],
    seconds: float,
    known: Known,
    enough: Callable[[Known], bool],
) -> None:
    """Ask through one channel layer, and take the answers."""
    if enough(known):
        return
    try:
        channel = await within(CALL_TIMEOUT, layer.new_channel(), "make a channel")
        own = OwnChannel(layer, channel)
        try:
            outgoing = [
                each
                for each in messages_to_all({**question, "reply": channel})
                if each[0] is layer
            ]
            reading = _read(own, outgoing, seconds, known, enough)
            await within(seconds + 2 * CALL_TIMEOUT, reading, "take a question")
        finally:
            await own.close()
    except ChannelLayerError:
        raise
    except Exception as error:
        raise ChannelLayerUnavailableError(
            f"The channel layer took no question: {error!r}"
        ) from error


async def _read(
    own: OwnChannel,
    outgoing: list[Addressed],
    seconds: float,
    known: Known,
    enough: Callable[[Known], bool],
) -> None:
    heard = listen(own, ANSWER, timeout=None, groups=(), queue_limit=MOST_ANSWERS)
    async with heard as messages:
        await send_async(outgoing)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for message in messages:
                    _take(known, message["answer"])
                    if enough(known):
                        return


def _take(known: Known, answer: str) -> None:
    try:
        process = ListedProcess.decoded(answer)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        log.warning("Ignored the answer of a process, perhaps of another release: %r", error)
        return
    known[process.id] = process
