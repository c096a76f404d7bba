"""Processes that meet in one Redis: servers, a pool of workers, management commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp
from support import GUARD

PROJECT = Path(__file__).parents[1] / "integration" / "redis" / "project"

LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


class Processes:
    """Starts processes that share one channel layer, and ends them all.

    Args:
        redis: URL of the Redis server.
        layer: a key of `LAYERS`.
    """

    def __init__(self, redis: str, layer: str) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "DJANGO_SETTINGS_MODULE": "live_settings",
            "LIVE_REDIS": redis,
            "LIVE_LAYER": LAYERS[layer],
            "LIVE_PREFIX": uuid.uuid4().hex,
        }
        # The search path above shall count, the rest is as in this process.
        self._environment.pop("PYTHONSAFEPATH", None)
        self._end = contextlib.AsyncExitStack()

    @property
    def channel_layers(self) -> dict[str, Any]:
        """The Django setting of the processes."""
        prefix, hosts = self._environment["LIVE_PREFIX"], [self._environment["LIVE_REDIS"]]
        config = {"hosts": hosts, "prefix": prefix}
        return {"default": {"BACKEND": self._environment["LIVE_LAYER"], "CONFIG": config}}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._end.aclose()

    async def server(self) -> Server:
        """Start Uvicorn on a free port."""
        process = await self._start("-m", "uvicorn", "--port", "0", "live_asgi:application")
        return Server(process, await self._end.enter_async_context(_log(process)))

    async def workers(self) -> Workers:
        """Start a pool of workers."""
        workers = Workers(await self._start("live_worker.py"))
        assert await workers.answer() == "ready"
        return workers

    async def manage(self, *arguments: str) -> None:
        """Run a management command to its end."""
        process = await self._start("-m", "django", *arguments)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(GUARD):
            assert await process.wait() == 0

    async def client(self, server: Server) -> GraphqlWsClient:
        """Connect a client to a server."""
        client = GraphqlWsClient(GraphqlWsTransportAiohttp(await server.url()))
        await client.connect_and_init()
        self._end.push_async_callback(client.finalize)
        return client

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=PROJECT,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if "uvicorn" in arguments else None,
        )
        self._end.push_async_callback(_stop, process)
        return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End a process and wait for it; forked workers see that their parent has gone."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), GUARD)
    except TimeoutError:
        process.kill()
        raise


class Server:
    """A server process; its log is read all the time, so that it never has to wait."""

    def __init__(self, process: asyncio.subprocess.Process, log: list[str]) -> None:
        self._process = process
        self.log = log

    def kill(self) -> None:
        """End the process without a word."""
        self._process.kill()

    async def url(self) -> str:
        """Wait until the server listens, and tell where."""
        async with asyncio.timeout(GUARD):
            while True:
                for line in self.log:
                    if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                        return f"ws://127.0.0.1:{found[1]}/"
                assert self._process.returncode is None, "".join(self.log)
                await asyncio.sleep(0.005)  # noqa: TID251 (another process is waited for)


@contextlib.asynccontextmanager
async def _log(process: asyncio.subprocess.Process) -> AsyncIterator[list[str]]:
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            lines.append(line.decode())

    task = asyncio.create_task(read())
    yield lines
    task.cancel()
    await asyncio.wait([task])


class Workers:
    """A pool of forked workers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(GUARD):
            return json.loads(await self._process.stdout.readline())

    async def run(self, worker: int, *job: object) -> str:
        """Have one of the workers do a job; give its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([worker, *job]).encode() + b"\n")
        return str(await self.answer())
