"""Channels' own hooks: a consumer that looks at messages itself keeps to the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from channels_graphql_ws import GraphqlWsConsumer
from conformance.peer import BRACKETS, Peers, complete
from conformance.stage import Stage, schema


def looking(stage: Stage) -> type[GraphqlWsConsumer]:
    class Looking(GraphqlWsConsumer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            if isinstance(content, dict):
                stage.executed.append(content.get("type", ""))
            await super().receive_json(content, **kwargs)

    Looking.schema = schema(stage)
    return Looking


async def test_each_message_passes_receive_json_and_is_answered(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(looking(stage))

    await peer.ask("1", "{ double(value: 2) }")

    assert await peer.hear(2) == [peer.next("1", {"double": 4}), complete("1")]
    assert stage.executed == ["connection_init", peer.start_word]


@pytest.mark.parametrize("frame", ["", "{", "[]", "{}", b"{}", BRACKETS, '{"type":1}'], ids=len)
async def test_what_is_no_message_closes_4400(
    peers: Peers, stage: Stage, frame: str | bytes
) -> None:
    peer = await peers.connect(looking(stage))

    if isinstance(frame, bytes):
        await peer.send_raw_bytes(frame)
    else:
        await peer.send_raw_text(frame)

    assert (await peer.closed())[0] == 4400


async def test_an_operation_before_the_ack_closes_4401(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(looking(stage), init=False)

    await peer.ask("1", "{ hello }")

    assert await peer.closed() == (4401, "Unauthorized")
    assert "hello" not in stage.executed
