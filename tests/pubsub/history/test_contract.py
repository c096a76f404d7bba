"""What every history has to do: in memory, in Redis through either layer, in Valkey."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub.history import memory
from channels_graphql_ws.pubsub.history.interfaces import History, Page, Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.history.redis import RedisHistory
from redis_server import RedisServer
from support import FakeLayer, tick

KINDS = [
    "memory",
    pytest.param("core", marks=pytest.mark.redis),
    pytest.param("pubsub", marks=pytest.mark.redis),
    pytest.param("hosts", marks=pytest.mark.redis),
    pytest.param("valkey", marks=pytest.mark.redis),
]


@pytest.fixture(params=KINDS)
async def history(request: pytest.FixtureRequest) -> AsyncIterator[History]:
    if request.param == "memory":
        yield history_of(InMemoryChannelLayer())
        return
    server = "valkey_url" if request.param == "valkey" else "redis_url"
    url = request.getfixturevalue(server)
    kind: Any = RedisPubSubChannelLayer if request.param == "pubsub" else RedisChannelLayer
    hosts = [url, url.replace("/0", "/1")] if request.param == "hosts" else [url]
    layer = kind(hosts=hosts, prefix=uuid.uuid4().hex)
    yield history_of(layer)
    await layer._layers[asyncio.get_running_loop()].flush()


async def append(history: History, *payloads: bytes, group: str = "G", **options: Any) -> Position:
    options = {"size": 10, "ttl": 60, **options}
    for payload in payloads:
        place = await history.append(group, payload, **options)
    return place


async def is_gone(history: History) -> bool:
    page = await history.since("G", 0)
    return page is None or page.head.is_empty


def payloads(page: Page | None) -> list[bytes]:
    assert page is not None
    return [entry.payload for entry in page.entries]


async def test_events_are_numbered_without_holes_each_group_for_itself(history: History) -> None:
    first = await append(history, b"a")
    second = await append(history, b"b", b"c")
    other = await append(history, b"x", group="H")
    assert (first.offset, second.offset, other.offset) == (1, 3, 1)
    assert first.epoch == second.epoch != other.epoch


async def test_what_came_behind_a_place_is_returned_in_order(history: History) -> None:
    place = await append(history, b"a", b"\x00\xff", b"c")
    page = await history.since("G", 1)
    assert payloads(page) == [b"\x00\xff", b"c"]
    assert page is not None
    assert page.head == place
    assert [entry.offset for entry in page.entries] == [2, 3]
    assert page.entries[0].time <= page.entries[1].time
    assert page.is_complete_after(Position(place.epoch, 1))
    assert payloads(await history.since("G", 3)) == []


async def test_no_more_events_are_kept_than_may(history: History) -> None:
    place = await append(history, b"a", b"b", b"c", b"d", size=2)
    page = await history.since("G", 0)
    assert payloads(page) == [b"c", b"d"]
    assert page is not None
    assert not page.is_complete_after(Position(place.epoch, 0))
    assert not page.is_complete_after(Position(place.epoch, 1))
    assert page.is_complete_after(Position(place.epoch, 2))
    assert not page.is_complete_after(Position("another life", 2))


async def test_a_place_in_the_future_is_none_of_this_history(history: History) -> None:
    place = await append(history, b"a")
    page = await history.since("G", 5)
    assert page is not None
    assert not page.is_complete_after(Position(place.epoch, 5))
    assert page.head == place


async def test_the_heads_of_many_groups_are_asked_for_at_once(history: History) -> None:
    groups = [f"group {number}" for number in range(12)]
    places = [await append(history, b"a", b"b", group=group) for group in groups]
    *heads, empty = await history.heads([*groups, "nothing is there"])
    assert heads == places
    assert empty is not None
    assert empty.is_empty
    assert not any(place.is_empty for place in places)
    assert await history.heads([]) == []


async def test_a_group_without_events_names_the_run(history: History) -> None:
    page = await history.since("G", 0)
    assert page is not None
    assert await history.heads(["G"]) == [page.head]
    assert page.head.is_empty
    assert page.is_complete_after(page.head)
    assert not page.is_complete_after(Position("another life", 0))
    begun = await append(history, b"a")
    assert page.head.run == begun.run != ""
    assert not begun.has_outlived(page.head)


async def test_many_senders_at_once_get_numbers_of_their_own(history: History) -> None:
    async def send() -> list[int]:
        return [(await append(history, b"a")).offset for _ in range(10)]

    numbers = await asyncio.gather(*(send() for _ in range(5)))
    assert all(sorted(each) == each for each in numbers)
    assert sorted(itertools.chain(*numbers)) == list(range(1, 51))


async def test_a_history_that_has_expired_begins_a_new_life(history: History) -> None:
    if isinstance(history, MemoryHistory):
        clock = iter([0.0, 1.0, 10.0, 11.0])
        history._clock = lambda: next(clock)
        old = await append(history, b"a", ttl=5)
        assert await history.heads(["G"]) == [old]
        assert await is_gone(history)
    else:
        old = await append(history, b"a", ttl=0.001)
        while not await is_gone(history):
            await tick()
    new = await append(history, b"b")
    assert new.offset == 1
    assert new.epoch != old.epoch


async def test_more_readers_at_once_than_a_pool_has_connections_are_all_served(
    history: History,
) -> None:
    place = await append(history, b"a", b"b")
    pages = await asyncio.gather(*(history.since("G", 1) for _ in range(300)))
    assert {page.head for page in pages if page} == {place}
    assert [payloads(page) for page in pages] == [[b"b"]] * 300
    assert await asyncio.gather(*(history.heads(["G"]) for _ in range(300))) == [[place]] * 300


async def test_a_durable_event_that_comes_again_is_kept_once(history: Any) -> None:
    first = await history.append_once("G", b"a", 10, 60, "one")
    second = await history.append_once("G", b"b", 10, 60, "two")
    assert await history.append_once("G", b"a", 10, 60, "one") == first
    assert (first.offset, second.offset) == (1, 2)
    assert payloads(await history.since("G", 0)) == [b"a", b"b"]
    other = await history.append_once("H", b"a", 10, 60, "one")
    assert other.offset == 1


async def test_in_memory_the_ids_of_the_last_events_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MOST_IDS", 2)
    history = MemoryHistory()
    ids = ["a", "b", "c", "a", "c"]
    places = [await history.append_once("G", b"", 10, 60, id) for id in ids]
    assert [place.offset for place in places] == [1, 2, 3, 4, 3]


async def test_half_a_history_is_no_history(redis_history: tuple[RedisHistory, Any]) -> None:
    history, client = redis_history
    old = await append(history, b"a", b"b")
    await client.delete(history._keys("G")[0])
    new = await append(history, b"c")
    assert new.offset == 1
    assert new.epoch != old.epoch
    assert payloads(await history.since("G", 0)) == [b"c"]


@pytest.fixture
async def redis_history(redis_url: str) -> AsyncIterator[tuple[RedisHistory, Any]]:
    layer = RedisChannelLayer(hosts=[redis_url], prefix=uuid.uuid4().hex)
    history = history_of(layer)
    assert isinstance(history, RedisHistory)
    yield history, layer.connection(0)
    await layer._layers[asyncio.get_running_loop()].flush()


@pytest.mark.redis
async def test_a_user_without_the_right_to_ask_about_the_server_has_a_history(
    redis_outage: RedisServer,
) -> None:
    async with Redis.from_url(redis_outage.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "app", "on", ">app", "~*", "+@all", "-info")
        async with Redis.from_url(redis_outage.url.replace("//", "//app:app@")) as limited:
            history = RedisHistory(lambda _: limited, "p")
            place = await append(history, b"a", b"b")
            assert payloads(await history.since("G", 0)) == [b"a", b"b"]
            assert await history.heads(["G"]) == [place]
            # Then nobody can tell whether it is the same Redis.
            assert place.run == ""


@pytest.mark.redis
async def test_a_redis_that_was_started_anew_names_another_run(redis_outage: RedisServer) -> None:
    async with Redis.from_url(redis_outage.url) as redis:
        history = RedisHistory(lambda _: redis, "p")
        [before] = await history.heads(["G"])
        redis_outage.stop()
        redis_outage.start()
        await redis.connection_pool.disconnect()
        [after] = await history.heads(["G"])
    assert before is not None
    assert after is not None
    assert after.has_outlived(before)


test_half_a_history_is_no_history = pytest.mark.redis(test_half_a_history_is_no_history)


async def test_groups_that_have_expired_do_not_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "SWEEP_EVERY", 3)
    now = 0.0
    history = MemoryHistory(lambda: now)
    await append(history, b"a", group="old", ttl=1)
    now = 5.0
    await append(history, b"a", b"b")
    assert list(history._groups) == ["G"]


KILOBYTE = b"x" * 1_000


async def test_groups_that_clients_have_invented_do_not_fill_the_memory() -> None:
    """Those that go on to be used keep their events, whatever else is invented."""
    history = MemoryHistory(max_bytes=100_000)
    at = await append(history, KILOBYTE)
    for number in range(1_000):
        await append(history, KILOBYTE, group=f"invented {number}")
        await append(history, KILOBYTE)
        assert history.size <= 100_000
    page = await history.since("G", at.offset + 995)
    assert page is not None
    assert payloads(page) == [KILOBYTE] * 5


async def test_a_history_of_many_bytes_is_shorter() -> None:
    history = MemoryHistory(max_bytes=10_000)
    place = await append(history, *[KILOBYTE] * 50, size=1_000)
    page = await history.since("G", 0)
    assert page is not None
    assert page.head == place
    assert 2 < len(page.entries) < 10
    assert not page.is_complete_after(Position(place.epoch, 30))
    assert history.size <= 10_000


async def test_the_last_event_is_kept_however_large_it_is() -> None:
    history = MemoryHistory(max_bytes=100)
    await append(history, KILOBYTE)
    assert payloads(await history.since("G", 0)) == [KILOBYTE]
    await append(history, KILOBYTE, group="H")
    assert payloads(await history.since("H", 0)) == [KILOBYTE]


async def test_what_comes_to_a_group_that_was_forgotten_does_not_continue_it() -> None:
    history = MemoryHistory(max_bytes=10_000)
    before = await append(history, b"a")
    for number in range(20):
        await append(history, KILOBYTE, group=str(number))
    await append(history, b"b")
    page = await history.since("G", before.offset)
    assert page is not None
    assert not page.is_complete_after(before)


async def test_of_groups_that_were_forgotten_nobody_says_that_they_are_empty() -> None:
    """A client whose cursor says that there was no event must not be told that it is so still."""
    now = 0.0
    history = MemoryHistory(lambda: now, max_bytes=10_000)
    assert await history.since("G", 0) is not None
    await append(history, b"a", ttl=60)
    for number in range(50):
        await append(history, b"a", group=str(number), ttl=30)
    assert history.size <= 10_000
    assert await history.since("G", 0) is None
    # By then it had expired anyhow.
    now = 61.0
    page = await history.since("G", 0)
    assert page is not None
    assert page.head.is_empty


async def test_without_a_limit_nothing_leaves_before_its_time() -> None:
    history = MemoryHistory()
    for number in range(500):
        await append(history, KILOBYTE, group=str(number))
    assert payloads(await history.since("0", 0)) == [KILOBYTE]


async def test_ids_of_durable_events_count_as_long_as_they_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MOST_IDS", 2)
    history = MemoryHistory(max_bytes=100_000)
    sizes = []
    for number in range(6):
        await history.append_once("G", b"", 1, 60, str(number))
        sizes.append(history.size)
    assert sizes == sorted(sizes)
    assert len(set(sizes[1:])) == 1


async def test_the_setting_says_how_many_bytes_a_process_keeps(settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_MAX_BYTES": 10_000}
    history = history_of(InMemoryChannelLayer())
    assert isinstance(history, MemoryHistory)
    await append(history, *[KILOBYTE] * 50, size=1_000)
    assert history.size <= 10_000


async def test_a_layer_of_another_kind_has_a_history_only_where_a_setting_names_it(
    settings: Any,
) -> None:
    layer = FakeLayer()
    with pytest.raises(ChannelLayerError, match="There is no history for FakeLayer"):
        history_of(layer)
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY": f"{__name__}.made"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "channels_graphql_ws.pubsub.history.of_layer.import_string", lambda path: made
        )
        assert isinstance(history_of(layer), MemoryHistory)
        assert history_of(layer) is history_of(layer)


def made(layer: object) -> History:
    return MemoryHistory()
