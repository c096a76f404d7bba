"""Try one package: `probes.py ADAPTER` prints a JSON object, a result for each row of the table.

It runs in the environment of that package, whose Python, Django and Channels may be old.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import re
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["localhost"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    SECRET_KEY="only for probes",  # noqa: S106 (no secret: nothing is served with it)
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    USE_TZ=True,
)
django.setup()

from asgi import SILENCE, ClosedError, Socket, request
from django.contrib.contenttypes.models import ContentType

NEW, LEGACY = "graphql-transport-ws", "graphql-ws"
ELSEWHERE = "https://elsewhere.example"
DEEP = "{ node { node { node { node { node { __typename } } } } } }"
JSON = {"content_type": "application/json", "accept": "application/json"}

Probe = Callable[[Any], Awaitable[str]]
PROBES: dict[str, Probe] = {}


def row(name: str) -> Callable[[Probe], Probe]:
    """Make a function the probe of a row; what it raises is a "no"."""

    def register(probe: Probe) -> Probe:
        PROBES[name] = probe
        return probe

    return register


def options(peer: Any, name: str) -> dict[str, Any]:
    """Return the options that switch something on.

    Raises:
        LookupError: the package does not have it.
    """
    found: dict[str, Any] = peer.OPTIONS[name]
    return found


async def hello(socket: Socket) -> Any:
    """Ask for a field."""
    socket.subscribe("{ hello }")
    return (await socket.receive())["payload"]["data"]


async def post(application: Any, content: Any, **headers: str) -> Any:
    """Send JSON over HTTP; return the JSON of the answer."""
    _, _, body = await request(application, body=json.dumps(content).encode(), **JSON, **headers)
    return json.loads(body)


@row("`graphql-transport-ws`")
async def _(peer: Any) -> str:
    async with Socket(peer.websocket(), NEW) as socket:
        await socket.init()
        return yes(await hello(socket) == {"hello": "world"})


@row("legacy `graphql-ws`")
async def _(peer: Any) -> str:
    async with Socket(peer.websocket(), LEGACY) as socket:
        await socket.init()
        # Strawberry executes subscriptions only, in this subprotocol.
        socket.subscribe(peer.COUNT or "{ hello }")
        message = await socket.receive()
        return yes(message["payload"]["data"] in ({"count": 1}, {"hello": "world"}))


@row("Bad input: closed with 4400 and a reason")
async def _(peer: Any) -> str:
    async with Socket(peer.websocket(), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.send_text("{")
        try:
            await socket.receive()
        except ClosedError as closed:
            return yes(closed.code == 4400 and closed.reason != "")
        return "no"


@row("No subprotocol in common: closed with 4406")
async def _(peer: Any) -> str:
    try:
        async with Socket(peer.websocket(), "soap") as socket:
            await socket.receive()
    except ClosedError as closed:
        return yes(closed.code == 4406)
    return "no"


@row("Nothing is executed before `connection_init`, in both subprotocols")
async def _(peer: Any) -> str:
    for subprotocol in (NEW, LEGACY):
        try:
            async with Socket(peer.websocket(), subprotocol) as socket:
                socket.subscribe("{ hello }")
                message = await socket.receive(SILENCE * 3)
                if "hello" in json.dumps(message):
                    return "no"
        except (ClosedError, TimeoutError):
            pass
    return "yes"


@row("WebSockets of other sites' pages are refused by the consumer")
async def _(peer: Any) -> str:
    try:
        async with Socket(peer.websocket(), peer.SUBPROTOCOL, origin=ELSEWHERE) as socket:
            await socket.init()
            return "no"
    except ClosedError:
        return "yes"


@row("Subscription classes with `broadcast()`")
async def _(peer: Any) -> str:
    return yes(await arrives(peer, "hi") == "str hi")


@row("Subscriptions by asynchronous generators")
async def _(peer: Any) -> str:
    async with Socket(peer.websocket(), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.subscribe(peer.COUNT)
        found = [(await socket.receive())["payload"]["data"]["count"] for _ in range(2)]
        return yes(found == [1, 2])


@row("Payloads: Django models")
async def _(peer: Any) -> str:
    payload = ContentType(id=1, app_label="chat", model="message")
    return yes(await arrives(peer, payload) == "ContentType message")


@row("Payloads: `Decimal`, sets")
async def _(peer: Any) -> str:
    from adapters import graphene_schema

    return yes(await arrives(peer, graphene_schema.RICH) == graphene_schema.RICH_DESCRIBED)


@row("`unsubscribed` runs when a client disconnects")
async def _(peer: Any) -> str:
    peer.state.unsubscribed = 0
    async with Socket(peer.websocket(), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.subscribe(need(peer.EVENT))
        await asyncio.sleep(SILENCE)
    return yes(peer.state.unsubscribed == 1)


@row("A confirmation, when a subscription is live")
async def _(peer: Any) -> str:
    peer.state.subscribed = False
    async with Socket(peer.websocket(**options(peer, "confirmation")), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.subscribe(need(peer.EVENT))
        message = await socket.receive()
        return yes(message["type"] in {"next", "data"} and peer.state.subscribed)


@row("Dead peers are found by pings, and closed")
async def _(peer: Any) -> str:
    async with Socket(peer.websocket(**options(peer, "pings")), peer.SUBPROTOCOL) as socket:
        await socket.init()
        # The application of the socket answers pings by itself: take its messages away.
        application = socket._application
        try:
            while True:
                if (await application.take(2))["type"] == "websocket.close":
                    return "yes"
        except TimeoutError:
            return "no"


@row("HTTP: queries")
async def _(peer: Any) -> str:
    answer = await post(need(peer.http)(), {"query": "{ hello }"})
    return yes(answer == {"data": {"hello": "world"}})


@row("HTTP: batches")
async def _(peer: Any) -> str:
    application = need(peer.http)(**options(peer, "batching"))
    answers = await post(application, [{"query": "{ hello }"}, {"query": "{ hello }"}])
    return yes(answers == [{"data": {"hello": "world"}}] * 2)


@row("HTTP: uploads")
async def _(peer: Any) -> str:
    boundary = "limit"
    fields = {
        'name="operations"': json.dumps(
            {
                "query": f"mutation ($f: Upload!) {{ measure(file: $f) {measured(peer)} }}",
                "variables": {"f": None},
            }
        ),
        'name="map"': json.dumps({"0": ["variables.f"]}),
        'name="0"; filename="a.txt"': "four",
    }
    parts = [
        f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n"
        for name, value in fields.items()
    ]
    form = ("".join(parts) + f"--{boundary}--\r\n").encode()
    _, _, body = await request(
        need(peer.http)(**options(peer, "uploads")),
        body=form,
        content_length=str(len(form)),
        content_type=f"multipart/form-data; boundary={boundary}",
        accept="application/json",
        graphql_require_preflight="1",
    )
    return yes("4" in json.dumps(json.loads(body)["data"]))


@row("HTTP: server-sent events")
async def _(peer: Any) -> str:
    return yes("count" in await streamed(peer, "text/event-stream"))


@row("HTTP: Apollo's multipart subscriptions")
async def _(peer: Any) -> str:
    return yes("count" in await streamed(peer, 'multipart/mixed;subscriptionSpec="1.0"'))


@row("GraphiQL, without a content delivery network")
async def _(peer: Any) -> str:
    application = need(peer.http)(**options(peer, "graphiql"))
    status, _, body = await request(application, "GET", accept="text/html")
    if status != 200:
        return "no"
    fetched = re.findall(r"""(?:src|href)=["']?(https?:)?//|from ["']https://""", body.decode())
    return "from one" if fetched or b"https://" in body else "yes"


@row("A router for HTTP and WebSocket")
async def _(peer: Any) -> str:
    application = need(peer.router)()
    async with Socket(application, NEW) as socket:
        await socket.init()
        over_websocket = await hello(socket)
    over_http = await post(application, {"query": "{ hello }"})
    return yes(over_websocket == over_http["data"] == {"hello": "world"})


@row("Limits: depth")
async def _(peer: Any) -> str:
    return await refused(peer, "depth", DEEP)


@row("Limits: introspection off")
async def _(peer: Any) -> str:
    return await refused(peer, "introspection", "{ __schema { types { name } } }")


@row("Unexpected errors hidden from clients")
async def _(peer: Any) -> str:
    async with Socket(peer.websocket(**options(peer, "masking")), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.subscribe("{ secret }")
        text = json.dumps(await socket.receive())
        return yes("errors" in text and "swordfish" not in text)


@row("A client for tests, in the process")
async def _(peer: Any) -> str:
    return yes(await peer.ask_with_the_test_kit() == {"hello": "world"})


@row("Types for type checkers (`py.typed`)")
async def _(peer: Any) -> str:
    spec = importlib.util.find_spec(peer.PACKAGE)
    assert spec is not None
    return yes(Path(spec.origin or "").with_name("py.typed").exists())


async def arrives(peer: Any, payload: object) -> str:
    """Broadcast a payload; return what a subscriber is told of it."""
    async with Socket(peer.websocket(), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.subscribe(need(peer.EVENT))
        await asyncio.sleep(SILENCE)
        sending = need(peer.broadcast)(payload=payload)
        if sending is not None:
            await sending
        payload = (await socket.receive(2))["payload"]
        if not payload["data"]:
            raise AssertionError(payload)
        return str(payload["data"]["onEvent"]["value"])


async def streamed(peer: Any, accept: str) -> str:
    """Subscribe over HTTP; return what is streamed."""
    body = json.dumps({"query": need(peer.COUNT)}).encode()
    _, headers, text = await request(
        need(peer.http)(**options(peer, "streams")),
        body=body,
        content_type="application/json",
        accept=accept,
    )
    wanted = accept.partition(";")[0]
    return text.decode() if headers["content-type"].startswith(wanted) else ""


async def refused(peer: Any, name: str, query: str) -> str:
    """Return whether a query is refused with an option, and executed without it."""
    async with Socket(peer.websocket(**options(peer, name)), peer.SUBPROTOCOL) as socket:
        await socket.init()
        socket.subscribe(query)
        message = await socket.receive()
        return yes("errors" in json.dumps(message) or message["type"] == "error")


def measured(peer: Any) -> str:
    """Return the selection of the mutation: an object with Graphene, a number with Strawberry."""
    return "" if peer.DISTRIBUTION.startswith("strawberry") else "{ size }"


def need(thing: Any) -> Any:
    """Return what a package has.

    Raises:
        LookupError: it does not have it.
    """
    if thing is None:
        raise LookupError
    return thing


def yes(is_so: bool) -> str:  # noqa: FBT001 (what is it, if not a boolean)
    """Return the word for a cell."""
    return "yes" if is_so else "no"


async def main() -> None:
    """Try everything, and print what came out."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    peer = importlib.import_module(f"adapters.{sys.argv[1]}")
    found: dict[str, str] = {}
    for name, probe in PROBES.items():
        try:
            found[name] = await asyncio.wait_for(probe(peer), 30)
        except LookupError:
            found[name] = "no"
        except Exception as error:  # noqa: BLE001 (whatever a package does instead)
            found[name] = "no"
            print(f"{name}: {error!r}", file=sys.stderr)
    version = importlib.metadata.version(peer.DISTRIBUTION)
    print(json.dumps({"version": version, "rows": found}))


asyncio.run(main())
