"""Senders whose threads are greenlets: every broadcast arrives, and the ORM goes on working."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.publisher import group_name
from live_processes import LAYERS
from support import GUARD, FakeListener, wait_until

REQUIRED = "CI_GREEN_REQUIRED"
"""Environment variable: set to 1, a missing library is a failure and no reason to skip."""

TASKS = 10
"""More than a worker has threads or processes: some of them broadcast again."""

SENDER = Path(__file__).parent / "sender.py"

pytestmark = [pytest.mark.redis, pytest.mark.green]


def require(name: str) -> None:
    """Skip a test whose library is not installed; fail where it has to be."""
    if importlib.util.find_spec(name) is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{name} is not installed", pytrace=False)
        pytest.skip(f"{name} is not installed")


@pytest.fixture(params=["gevent", "eventlet"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require(name)
    return name


@pytest.fixture(params=["prefork", "threads", "gevent", "eventlet"])
def pool(request: pytest.FixtureRequest) -> str:
    """A pool of Celery's workers."""
    name: str = request.param
    require("celery")
    if name in ("gevent", "eventlet"):
        require(name)
    return name


@pytest.mark.parametrize("layer", LAYERS)
async def test_all_that_greenlets_broadcast_arrives(
    redis_url: str, library: str, layer: str
) -> None:
    kind: Any = RedisChannelLayer if layer == "core" else RedisPubSubChannelLayer
    ours = kind(hosts=[redis_url], prefix=uuid.uuid4().hex)
    hub, listener = hub_of(ours), FakeListener()
    hub.acquire()
    # The own group of the class, as the sender names it.

    group = group_name("GQLWS", "__main__:OnNumber:OnNumber:", None)
    if hub.listen(listener, [group]):
        await hub.joined([group])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SENDER),
        library,
        redis_url,
        LAYERS[layer],
        ours.prefix,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    async with asyncio.timeout(3 * GUARD):
        output, errors = await process.communicate()
    assert (process.returncode, output) == (0, b"done\n"), errors.decode()
    await wait_until(lambda: len(listener.heard) == 15)
    # Those of one greenlet in their order, those of several in any.
    assert listener.heard[:4] == [0, 1, 2, 3]
    assert sorted(listener.heard) == list(range(15))
    hub.leave(listener, [group])
    await hub.release()
    await ours._layers[asyncio.get_running_loop()].flush()


@pytest.mark.parametrize("layer", LAYERS)
async def test_all_that_tasks_of_celery_broadcast_arrives(
    redis_url: str, pool: str, layer: str
) -> None:
    kind: Any = RedisChannelLayer if layer == "core" else RedisPubSubChannelLayer
    ours = kind(hosts=[redis_url], prefix=uuid.uuid4().hex)
    hub, listener = hub_of(ours), FakeListener()
    hub.acquire()
    group = group_name("GQLWS", "celery_worker:OnNumber:OnNumber:", None)
    if hub.listen(listener, [group]):
        await hub.joined([group])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SENDER.parent), *sys.path])),
        "WORKER_REDIS": redis_url,
        "WORKER_LAYER": LAYERS[layer],
        "WORKER_PREFIX": ours.prefix,
    }
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "-P", pool),
        *("-c", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    try:
        calls = f"import celery_worker; [celery_worker.broadcast.delay(n) for n in range({TASKS})]"
        calling = await asyncio.create_subprocess_exec(
            sys.executable, "-c", calls, env=environment
        )
        assert await calling.wait() == 0
        await wait_until(lambda: len(listener.heard) >= TASKS, guard=3 * GUARD)
    finally:
        worker.terminate()
        await worker.wait()
    assert sorted(listener.heard) == list(range(TASKS))
    hub.leave(listener, [group])
    await hub.release()
    await ours._layers[asyncio.get_running_loop()].flush()
