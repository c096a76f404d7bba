"""Streams: what a reader gets, and what becomes of one who does not read."""

from __future__ import annotations

import asyncio

import pytest

from channels_graphql_ws.http.stream import (
    FULL_AT,
    FULL_AT_BYTES,
    MOST_BYTES,
    LaterChunk,
    LaterText,
    OwnStream,
    ResponseStream,
)
from channels_graphql_ws.http.stream_formats import EVENT_STREAM, MULTIPART
from support import tick, wait_until


async def read(stream: ResponseStream) -> bytes:
    async with asyncio.timeout(20):
        return await anext(stream)


async def rest(stream: ResponseStream) -> bytes:
    async with asyncio.timeout(20):
        return b"".join([chunk async for chunk in stream])


async def test_results_come_as_events():
    sink = OwnStream(ResponseStream(EVENT_STREAM))
    sink.next('{"data":1}')
    sink.complete()
    assert (
        await rest(sink.stream) == b'event: next\ndata: {"data":1}\n\nevent: complete\ndata: \n\n'
    )


async def test_results_come_as_parts():
    sink = OwnStream(ResponseStream(MULTIPART))
    sink.stream.open()
    sink.next('{"data":1}')
    sink.complete()
    assert await rest(sink.stream) == (
        b"--graphql\r\nContent-Type: application/json\r\n\r\n"
        b'{"payload":{"data":1}}\r\n--graphql--\r\n'
    )


def test_events_of_many_operations_have_their_ids():
    assert EVENT_STREAM.next("{}", 'a"b') == b'event: next\ndata: {"id":"a\\"b","payload":{}}\n\n'
    assert EVENT_STREAM.complete("a") == b'event: complete\ndata: {"id":"a"}\n\n'


async def test_a_reader_waits_for_what_is_to_come():
    stream = ResponseStream(EVENT_STREAM)
    reading = asyncio.ensure_future(read(stream))
    await tick()
    assert not reading.done()
    stream.put(b"a")
    stream.put(b"b")
    assert await reading == b"ab"


async def test_a_chunk_may_be_made_when_it_is_its_turn():
    async def later() -> str:
        return "{}"

    sink = OwnStream(ResponseStream(EVENT_STREAM))
    sink.next("1")
    sink.next(LaterText(2, later))
    assert await read(sink.stream) == b"event: next\ndata: 1\n\nevent: next\ndata: {}\n\n"


async def test_results_wait_while_the_reader_does_not_read():
    stream = ResponseStream(EVENT_STREAM)
    assert stream.ready() is None
    for _ in range(FULL_AT):
        stream.put(b"x")
    room = stream.ready()
    assert room is not None
    waiting = asyncio.ensure_future(room)
    await tick()
    assert not waiting.done()
    assert len(await read(stream)) == FULL_AT
    async with asyncio.timeout(20):
        await waiting
    assert stream.ready() is None


@pytest.mark.parametrize("is_later", [False, True])
async def test_large_results_wait_sooner(is_later):
    async def get() -> bytes:
        return b""

    stream = ResponseStream(EVENT_STREAM)
    half = FULL_AT_BYTES // 2
    for _ in range(2):
        assert not stream.is_full
        stream.put(LaterChunk(half, get) if is_later else b"x" * half)
    assert stream.is_full
    await read(stream)
    assert not stream.is_full


async def test_a_reader_who_leaves_too_much_unread_is_given_up():
    stream = ResponseStream(EVENT_STREAM)
    chunk = b"x" * (MOST_BYTES // 2 + 1)
    for _ in range(2):
        stream.put(chunk)
    assert not stream.given_up.done()
    stream.put(b"one more")
    assert stream.given_up.done()
    assert await rest(stream) == b""


@pytest.mark.parametrize("is_read", [True, False])
async def test_what_waits_can_be_dropped_but_not_the_beginning(is_read):
    sink = OwnStream(ResponseStream(MULTIPART))
    sink.stream.open()
    begins = MULTIPART.opening
    if is_read:
        assert await read(sink.stream) == begins
        begins = b""
    for _ in range(FULL_AT):
        sink.next('{"data":1}')
    waiting = sink.ready()
    assert waiting is not None
    sink.drop()
    await waiting
    assert sink.stream.size == 0
    sink.stream.finish()
    assert await rest(sink.stream) == begins + MULTIPART.closing


async def test_nobody_waits_for_a_stream_that_is_closed():
    stream = ResponseStream(EVENT_STREAM)
    for _ in range(FULL_AT):
        stream.put(b"x")
    room = stream.ready()
    assert room is not None
    waiting = asyncio.ensure_future(room)
    await tick()
    stream.close()
    async with asyncio.timeout(20):
        await waiting
    stream.put(b"more")
    assert await rest(stream) == b""


async def test_closing_ends_a_reader_that_waits():
    stream = ResponseStream(EVENT_STREAM)
    reading = asyncio.ensure_future(rest(stream))
    await tick()
    stream.close()
    assert await reading == b""


async def test_nothing_follows_the_end():
    stream = ResponseStream(MULTIPART)
    stream.finish()
    stream.finish()
    stream.put(b"more")
    assert await rest(stream) == b"--\r\n"


async def test_a_silent_stream_gives_signs_of_life():
    stream = ResponseStream(EVENT_STREAM, heartbeat=0.001)
    stream.open()
    assert await read(stream) == b":\n\n"
    assert await read(stream) == b":\n\n"
    stream.close()


async def test_a_reader_who_reads_nothing_is_given_up():
    stream = ResponseStream(EVENT_STREAM, heartbeat=0.001, patience=0.003)
    stream.open()
    async with asyncio.timeout(20):
        await stream.given_up
    assert await rest(stream) == b""


async def test_a_reader_who_reads_now_and_then_is_not_given_up():
    stream = ResponseStream(EVENT_STREAM, heartbeat=0.001, patience=0.002)
    stream.open()
    for _ in range(10):
        assert await read(stream)
    assert not stream.given_up.done()
    stream.close()


async def test_signs_of_life_do_not_pile_up():
    stream = ResponseStream(EVENT_STREAM, heartbeat=0.001, patience=None)
    stream.open()
    started = asyncio.get_running_loop().time()
    await wait_until(lambda: asyncio.get_running_loop().time() > started + 0.02)
    assert await read(stream) == b":\n\n"
    stream.close()


@pytest.mark.parametrize("format", [EVENT_STREAM, MULTIPART])
def test_proxies_are_told_not_to_hold_a_stream_back(format):
    assert format.headers == {
        "Cache-Control": "no-cache, no-store",
        "Content-Encoding": "identity",
        "X-Accel-Buffering": "no",
    }
