"""Several processes, one Redis: broadcasts arrive, whatever happens to the Redis."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from redis.asyncio import Redis

from channels_graphql_ws import GraphqlWsClient, NoDataError
from channels_graphql_ws.pubsub import publisher as broadcast
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.serializer import Serializer
from live_processes import LAYERS, Processes, Server
from redis_server import RedisServer
from support import GUARD, FakeListener, wait_until

pytestmark = pytest.mark.redis

QUERY = "subscription($room: String!) { onNews(room: $room) { text } }"


async def subscribed(client: GraphqlWsClient, room: str) -> str:
    op_id: str = await client.subscribe(QUERY, variables={"room": room})
    return op_id


async def news(client: GraphqlWsClient, op_id: str) -> str:
    text: str = (await client.receive_next(op_id))["data"]["onNews"]["text"]
    return text


@pytest.mark.servers
@pytest.mark.parametrize("layer", LAYERS)
async def test_what_other_processes_send_reaches_the_clients_of_two_servers(
    redis_url: str, layer: str
) -> None:
    async with Processes(redis_url, layer) as processes:
        first, second = await processes.server(), await processes.server()
        workers = await processes.workers()
        clients = [await processes.client(server) for server in (first, second, second)]
        ids = [await subscribed(client, "комната 1") for client in clients]
        other = await subscribed(clients[0], "комната 2")

        await processes.manage("announce", "комната 1", "from a command")
        assert await workers.run(0, "broadcast", "комната 1", "from one", "again") == "done"
        assert await workers.run(1, "broadcast", "комната 1", "from another") == "done"
        assert await workers.run(1, "broadcast_async", "комната 1", "async", "view") == "done"
        expected = ["from a command", "from one", "again", "from another", "async", "view"]
        for client, op_id in zip(clients, ids, strict=True):
            assert [await news(client, op_id) for _ in expected] == expected

        assert await workers.run(0, "end", "комната 1") == "done"
        for client, op_id in zip(clients, ids, strict=True):
            await client.receive_complete(op_id)
        # The other room heard nothing of all that, and is still there.
        assert await workers.run(0, "broadcast", "комната 2", "fence") == "done"
        assert await news(clients[0], other) == "fence"


async def watched(server: Server, number: int, cursor: str | None = None) -> tuple[Any, Any]:
    """Give some events of a run, and the cursor to come back with."""
    client = GraphqlWsClient(await server.url())
    events = client.subscription("subscription { count }", cursor=cursor, wait_confirmation=True)
    async with client, events:
        found = [await anext(events) for _ in range(number)]
        await client.finalize()
    values = [event["count"].split() for event in found]
    # More may have come than was read.
    return [(pid, int(each)) for pid, each in values], found[-1].cursor


@pytest.mark.servers
@pytest.mark.parametrize("layer", LAYERS)
async def test_a_run_is_found_from_another_server_and_its_loss_is_told(
    redis_url: str, layer: str
) -> None:
    async with Processes(redis_url, layer) as processes:
        first, second = await processes.server(), await processes.server()
        begun, cursor = await watched(first, 3)
        rest, cursor = await watched(second, 20, cursor)
        again, cursor = await watched(first, 5, cursor)
        pid = begun[0][0]
        assert [*begun, *rest, *again] == [(pid, number) for number in range(1, 29)]

        first.kill()
        with pytest.raises(NoDataError, match="This run is lost"):
            await watched(second, 1, cursor)


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_thousand_broadcasts_of_a_worker_need_no_more_connections_than_one(
    redis_outage: RedisServer, layer: str
) -> None:
    async with (
        Processes(redis_outage.url, layer) as processes,
        Redis.from_url(redis_outage.url) as redis,
    ):
        workers = await processes.workers()
        assert await workers.run(0, "broadcast", "room", "first") == "done"
        before = await connections(redis)
        assert await workers.run(0, "numbers", "room", 1_000) == "done"
        assert await connections(redis) == before


async def connections(redis: Redis) -> tuple[int, int]:
    """How many connections there are, and how many there ever were."""
    clients, stats = await redis.info("clients"), await redis.info("stats")
    return clients["connected_clients"], stats["total_connections_received"]


@pytest.mark.servers
@pytest.mark.parametrize("layer", LAYERS)
async def test_events_flow_again_after_redis_was_away_and_came_back_empty(
    redis_outage: RedisServer, layer: str
) -> None:
    async with Processes(redis_outage.url, layer) as processes:
        server = await processes.server()
        workers = await processes.workers()
        client = await processes.client(server)
        op_id = await subscribed(client, "room")
        assert await workers.run(0, "broadcast", "room", "before") == "done"
        assert await news(client, op_id) == "before"

        redis_outage.stop()
        answer = await workers.run(0, "broadcast", "room", "while it is away")
        assert answer.startswith("!ChannelLayerUnavailableError")
        redis_outage.start()

        async with asyncio.timeout(GUARD):
            assert await _until_heard(workers, client, op_id) == "after"
        # Who comes now is as well off as ever.
        late = await subscribed(client, "another room")
        assert await workers.run(1, "broadcast", "another room", "late") == "done"
        message = await client.receive(wait_id=late)
        assert message["data"]["onNews"]["text"] == "late"


async def _until_heard(workers: Any, client: GraphqlWsClient, op_id: str) -> str:
    hearing = asyncio.create_task(news(client, op_id))
    while not hearing.done():
        await workers.run(0, "broadcast", "room", "after")
        await asyncio.wait([hearing], timeout=0.2)
    return hearing.result()


class Counting(RedisChannelLayer):
    """Counts what is done and what goes wrong."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.calls: Counter[str] = Counter()

    async def group_add(self, group: str, channel: str) -> None:
        await super().group_add(group, channel)
        self.calls[f"joined {group}"] += 1

    async def receive(self, channel: str) -> Any:
        try:
            return await super().receive(channel)
        except Exception as error:
            self.calls[type(error).__name__] += 1
            raise


@contextlib.asynccontextmanager
async def listening(layer: Counting) -> AsyncIterator[tuple[Hub, FakeListener]]:
    hub, listener = hub_of(layer), FakeListener()
    hub.acquire()
    if hub.listen(listener, ["group"]):
        await hub.joined(["group"])
    yield hub, listener
    hub.leave(listener, ["group"])
    await hub.release()
    await layer.close_pools()


async def send(layer: Counting, payload: object) -> None:
    data = Serializer.serialize(payload)
    message = {"type": "broadcast", "group": "group", "payload": data}
    await broadcast.send_soon(layer, Outgoing(message, "a test"))


async def test_a_membership_outlives_its_expiry(redis_url: str) -> None:
    layer = Counting(hosts=[redis_url], prefix=uuid.uuid4().hex, group_expiry=1)
    async with listening(layer) as (_, listener):
        # Renewed each third of a second, it would have ended long before.
        await wait_until(lambda: layer.calls["joined group"] >= 8)
        async with asyncio.timeout(GUARD):
            while not listener.heard:
                # One is lost if this process was given no time to renew it.
                await send(layer, "still here")
                with contextlib.suppress(TimeoutError):
                    await wait_until(lambda: listener.heard, guard=0.1)


async def test_members_that_were_killed_are_gone_when_their_time_is_over_and_others_stay(
    redis_url: str,
) -> None:
    options: dict[str, Any] = {"prefix": uuid.uuid4().hex, "group_expiry": 5}
    layer = Counting(hosts=[redis_url], **options)
    async with listening(layer) as (_, listener), Redis.from_url(redis_url) as redis:
        killed = RedisChannelLayer(hosts=[redis_url], **options)
        for _ in range(20):
            # It stops without a word, as a process that is killed does.
            await killed.group_add("group", await killed.new_channel())
        await killed.close_pools()
        key = f"{layer.prefix}:group:group"
        assert await redis.zcard(key) == 21
        sent = 0
        async with asyncio.timeout(GUARD):
            while await redis.zcard(key) > 1:
                await send(layer, sent)
                sent += 1
                await asyncio.sleep(0.05)  # noqa: TID251 (Redis's time is waited for)
        await send(layer, "last")
        await wait_until(lambda: listener.heard[-1:] == ["last"])
        assert listener.heard == [*range(sent), "last"]


async def test_an_idle_connection_that_times_out_loses_nothing_and_is_no_news(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = {"address": redis_url, "socket_timeout": 0.5}
    options = {"capacity": 10_000, "group_expiry": 300}
    layer = Counting(hosts=[host], prefix=uuid.uuid4().hex, **options)
    async with listening(layer) as (_, listener):
        await wait_until(lambda: layer.calls["TimeoutError"] >= 3)
        await send(layer, "still here")
        await wait_until(lambda: listener.heard)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
