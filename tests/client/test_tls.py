"""Servers with TLS, whose certificate nobody trusts unless it is told to."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels_graphql_ws.client import (
    ConnectionRejectedError,
    GraphqlHttpTransport,
    GraphqlWsClient,
    GraphqlWsTransportAiohttp,
    Retry,
)

CERTIFICATE = Path(__file__).parents[1] / "kit" / "localhost.pem"
"""Signed by itself, for localhost and 127.0.0.1, until the year 2126; with its key."""

DATA = {"hello": "world"}


async def socket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=["graphql-transport-ws"])
    await socket.prepare(request)
    async for frame in socket:
        match frame.json():
            case {"type": "subscribe", "id": id}:
                await socket.send_json({"type": "next", "id": id, "payload": {"data": DATA}})
            case _:
                await socket.send_json({"type": "connection_ack"})
    return socket


async def http(_: web.Request) -> web.StreamResponse:
    return web.json_response({"data": DATA})


@pytest.fixture
async def address() -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    app = web.Application()
    app.router.add_get("/", socket)
    app.router.add_post("/", http)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


TRANSPORTS = [
    lambda address, **options: GraphqlWsTransportAiohttp(f"wss://{address}", **options),
    lambda address, **options: GraphqlHttpTransport(f"https://{address}", **options),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_untrusted_certificate_is_refused_at_once_and_the_error_says_so(
    address, transport
):
    async with GraphqlWsClient(transport(address)) as client:
        with pytest.raises(ConnectionRejectedError, match=r"certificate is not trusted.* ssl"):
            await client.query("{ hello }")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a_certificate_may_be_trusted_or_not_be_looked_at(address, transport, is_trusted):
    context: Any = ssl.create_default_context(cafile=CERTIFICATE) if is_trusted else False
    async with GraphqlWsClient(transport(address, ssl=context)) as client:
        assert await client.query("{ hello }") == DATA


async def test_who_forgets_that_a_server_speaks_tls_is_told(address):
    async with GraphqlWsClient(f"ws://{address}", retry=Retry(attempts=0)) as client:
        with pytest.raises(ConnectionRejectedError, match=r"does it speak TLS \(wss://\)\?"):
            await client.query("{ hello }")
