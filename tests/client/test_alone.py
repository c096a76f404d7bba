"""The client works where neither Django, Channels, Graphene nor graphql-core can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import GUARD

PROGRAM = """
import asyncio
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from uuid import UUID

SERVER_SIDE = {"asgiref", "channels", "django", "graphene", "graphql"}


class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in SERVER_SIDE:
            raise ImportError(f"{name} is not installed here")


sys.meta_path.insert(0, Refuses())

from aiohttp import web

from channels_graphql_ws import (
    GraphqlOperationError,
    GraphqlSseTransport,
    GraphqlWsClient,
    GraphqlWsClientSync,
)
from channels_graphql_ws.__main__ import main as graphql_live


class Color(Enum):
    RED = 1


@dataclass
class User:
    name: str
    birth_date: date


RESULT = {"data": {"me": {"name": "Ann", "birthDate": "2000-01-31"}}}
VARIABLES = {
    "day": date(2000, 1, 31),
    "sum": Decimal("1.5"),
    "id": UUID(int=1),
    "color": Color.RED,
}
SENT = {
    "day": "2000-01-31",
    "sum": "1.5",
    "id": "00000000-0000-0000-0000-000000000001",
    "color": "RED",
}


async def socket(request):
    socket = web.WebSocketResponse(protocols=["graphql-transport-ws"])
    await socket.prepare(request)
    async for frame in socket:
        match frame.json():
            case {"type": "connection_init"}:
                await socket.send_json({"type": "connection_ack"})
            case {"type": "subscribe", "id": id, "payload": {"query": query, **rest}}:
                if "wrong" in query:
                    payload = [{"message": "no such field"}]
                    await socket.send_json({"type": "error", "id": id, "payload": payload})
                    continue
                assert rest.get("variables", SENT) == SENT, rest
                await socket.send_json({"type": "next", "id": id, "payload": RESULT})
                await socket.send_json({"type": "complete", "id": id})
    return socket


async def http(request):
    assert (await request.json())["query"] == "{ me }"
    return web.json_response(RESULT)


async def over_web_sockets(url):
    async with GraphqlWsClient(url) as client:
        assert await client.query("{ me }", VARIABLES) == RESULT["data"]
        user = await client.query("{ me }", into=User)
        assert user == User("Ann", date(2000, 1, 31))
        async for event in client.subscription("subscription { me }"):
            assert event["me"]["name"] == "Ann"
        try:
            await client.query("{ wrong }")
        except GraphqlOperationError as error:
            assert "no such field" in str(error)


async def main():
    app = web.Application()
    app.router.add_get("/", socket)
    app.router.add_post("/", http)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    await over_web_sockets(f"ws://{address}/")
    async with GraphqlWsClient(f"http://{address}/") as client:
        assert await client.query("{ me }") == RESULT["data"]
    GraphqlSseTransport(f"http://{address}/")
    await asyncio.to_thread(without_a_loop, f"ws://{address}/")
    assert await asyncio.to_thread(graphql_live, ["query", f"ws://{address}/", "{ me }"]) == 0
    await runner.cleanup()


def without_a_loop(url):
    with GraphqlWsClientSync(url) as client:
        assert client.query("{ me }", into=User).name == "Ann"


asyncio.run(main())
print(sorted(SERVER_SIDE & set(sys.modules)))
"""


def test_a_program_on_a_machine_without_the_packages_of_the_server(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=3 * GUARD,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"data":{"me":{"name":"Ann","birthDate":"2000-01-31"}}}\n[]\n'
