"""Answer what operators ask this process over the channel layer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.operations.listing import ListedProcess, end_in_process, list_process
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, within
from channels_graphql_ws.shutdown import connections_of_loop

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

QUESTION: Final = "question"
"""The key of a message that asks."""

ANSWER: Final = "channels_graphql_ws.answer"
"""The type of a message that answers."""

MOST_AT_ONCE: Final = 4
"""Questions that a process works on; further ones get no answer."""

_under_way: set[asyncio.Task[None]] = set()


async def answer_here(question: Mapping[str, Any]) -> ListedProcess:
    """Do what an operator asks for, in this process.

    Args:
        question: with `end`, the id of a connection to end; otherwise with `search` and
            `limit`, see `list_process`.
    """
    id = question.get("end")
    if id is not None:
        return await end_in_process(id)
    return await list_process(question["search"], question["limit"])


def answer(layer: Any, question: Mapping[str, Any]) -> None:
    """Begin to answer a question that came over a channel layer, in its `reply` channel."""
    if len(_under_way) >= MOST_AT_ONCE:
        log.warning("An operator got no answer: %s others wait for theirs", len(_under_way))
        return
    task = asyncio.get_running_loop().create_task(
        _answer(layer, question), context=context_of_nobody()
    )
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    connections_of_loop().finishes(task)


async def _answer(layer: Any, question: Mapping[str, Any]) -> None:
    try:
        told = await answer_here(question)
        message = {"type": ANSWER, "answer": told.encoded()}
        await within(CALL_TIMEOUT, layer.send(question["reply"], message), "take an answer")
    # The operator learns that this process did not answer.
    except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
        log.warning("An operator got no answer: %r", error)
