"""What one message of a stranger may cost a server whose options nobody has set.

    python benchmarks/hostile.py                # messages of 64 KiB, about two minutes
    python benchmarks/hostile.py --short        # of 16 KiB
    python benchmarks/hostile.py --only log     # those whose name has `log` in it

Each message is sent to a process of its own, which is forked when everything is imported. Compared
with a document of distinct scalar fields that is as long as the longest message, none may take
more than 20 times the CPU time, 32 MiB of memory, or 64 KiB of the log, nor hold the event loop
for as long, at a time, as that document takes in all. The exit code is 1 if one does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import pickle
import re
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import django
import graphene
from django.conf import settings

SIZE = 65_536
SHORT = 16_384
MOST_TIMES = 20
MOST_MEMORY = 32 * 2**20
MOST_LOG = 65_536
CPU_LIMIT = 60
"""Seconds of CPU time after which a process is killed."""
ANSWER_TIMEOUT = 120.0
"""Seconds; a guard."""

if not settings.configured:  # As they are in tests.
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        LOGGING_CONFIG=None,
        SECRET_KEY="benchmark",  # noqa: S106 (of nothing)
    )
    django.setup()

# Imported by what has read the settings.
from channels_graphql_ws import (  # noqa: E402
    GraphqlHttpConsumer,
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.execution.compiler.selections import MAX_CONDITIONS  # noqa: E402

WIDTH = 1_000
"""Scalar fields of the type that the yardstick asks for."""
TYPES = 130
"""Types of an ordinary application: what introspection has to tell of."""


class Colour(graphene.Enum):
    """An enum with names to guess."""

    RED = 1
    GREEN = 2


# One list for all: what a resolver itself makes for each alias is the application's own.
_MANY: list[dict[str, Any]] = [{}] * 10_000
_NUMBERS = [1] * 10_000


class Filter(graphene.InputObjectType):
    """An input that contains itself."""

    inner = graphene.InputField(lambda: Filter)
    inners = graphene.List(lambda: Filter)
    number = graphene.Int()
    numbers = graphene.List(graphene.Int)


class Node(graphene.ObjectType):
    """An object that leads to others of its kind."""

    name = graphene.String(default_value="name")
    boom = graphene.String(text=graphene.String())
    node = graphene.Field(lambda: Node)
    nodes = graphene.List(lambda: Node)

    @staticmethod
    def resolve_boom(root: Any, info: Any, text: str = "") -> str:
        """Fail, with a text that the client has chosen."""
        raise ValueError(f"Nothing is known of {text}")

    @staticmethod
    def resolve_node(root: Any, info: Any) -> dict[str, Any]:
        """Return the next one."""
        return {}

    many = graphene.List(lambda: Node)
    numbers = graphene.List(graphene.Int)

    @staticmethod
    def resolve_many(root: Any, info: Any) -> list[dict[str, Any]]:
        """Return ten thousand."""
        return _MANY

    @staticmethod
    def resolve_numbers(root: Any, info: Any) -> list[int]:
        """Return ten thousand."""
        return _NUMBERS

    later = graphene.String()
    awaited = graphene.Field(lambda: Node)
    called = graphene.String()

    @staticmethod
    async def resolve_awaited(root: Any, info: Any) -> dict[str, Any]:
        """Return the next one, as a data loader would."""
        return {}

    @staticmethod
    def resolve_called(root: Any, info: Any) -> str:
        """Return a text."""
        return "called"

    @staticmethod
    async def resolve_later(root: Any, info: Any) -> str:
        """Return a text, after others were served."""
        await asyncio.sleep(0)
        return "later"

    @staticmethod
    def resolve_nodes(root: Any, info: Any) -> list[dict[str, Any]]:
        """Return ten."""
        return [{}] * 10


_scalars: dict[str, Any] = {f"f{number}": graphene.Int() for number in range(WIDTH)}
Wide: Any = type(
    "Wide",
    (graphene.ObjectType,),
    {**_scalars, "wide": graphene.Field(lambda: Wide), "resolve_wide": lambda root, info: {}},
)
_others = [
    type(
        f"Type{number}", (graphene.ObjectType,), {f"g{each}": graphene.Int() for each in range(9)}
    )
    for number in range(TYPES)
]


class Query(Node):
    """All that is asked for."""

    wide = graphene.Field(Wide)
    echo = graphene.String(text=graphene.String())
    find = graphene.Int(filter=Filter(), colour=Colour(), numbers=graphene.List(graphene.Int))

    @staticmethod
    def resolve_wide(root: Any, info: Any) -> dict[str, Any]:
        """Return an object."""
        return {}

    @staticmethod
    def resolve_echo(root: Any, info: Any, text: str) -> str:
        """Return what the client sent."""
        return text

    @staticmethod
    def resolve_find(root: Any, info: Any, **arguments: Any) -> int:
        """Return a number."""
        return 1


class OnEvent(Subscription):
    """A subscription without events."""

    text = graphene.String()

    class Arguments:
        filter = Filter()

    @staticmethod
    def publish(payload: Any, info: Any, filter: Any = None) -> Any:
        """Return the payload."""
        return payload


class Subscriptions(graphene.ObjectType):
    """The subscriptions."""

    on_event = OnEvent.Field()


schema = graphene.Schema(query=Query, subscription=Subscriptions, types=_others)
over_websocket = GraphqlWsConsumer.as_asgi(schema=schema)
in_threads = GraphqlWsConsumer.as_asgi(schema=schema, resolve_sync_in_threads=True)
over_http = GraphqlHttpConsumer.as_asgi(schema=schema, introspection=True, mask_errors=False)


class Cost(NamedTuple):
    """What a message has cost.

    Attributes:
        cpu: seconds of all threads.
        held: of the event loop at a time, in which nobody else was served.
        memory: bytes.
        answer: bytes.
        log: bytes.
    """

    cpu: float
    held: float
    memory: int
    answer: int
    log: int


# What is sent.


@dataclass(frozen=True)
class OverWebSocket:
    """A text frame to a connection that is acknowledged, unless it is to be sent before.

    Attributes:
        is_in_threads: synchronous resolvers are called there, as the router has it.
    """

    text: str
    subprotocol: str = "graphql-transport-ws"
    is_early: bool = False
    is_in_threads: bool = False

    @property
    def size(self) -> int:
        """Bytes that are sent."""
        return len(self.text.encode())

    async def send(self) -> int:
        """Send it, wait for what the server has to say; return how many bytes that is."""
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        is_answered = asyncio.Event()
        size = 0

        async def answer(event: dict[str, Any]) -> None:
            nonlocal size
            size += len(event.get("text") or "")
            if self._is_last(event):
                is_answered.set()

        scope = {
            "type": "websocket",
            "path": "/graphql/",
            "headers": [(b"host", b"localhost")],
            "subprotocols": [self.subprotocol],
        }
        application = in_threads if self.is_in_threads else over_websocket
        task = asyncio.ensure_future(application(scope, incoming.get, answer))
        incoming.put_nowait({"type": "websocket.connect"})
        messages = [] if self.is_early else ['{"type": "connection_init"}']
        for text in [*messages, self.text]:
            incoming.put_nowait({"type": "websocket.receive", "text": text})
        await asyncio.wait_for(is_answered.wait(), ANSWER_TIMEOUT)
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(task, ANSWER_TIMEOUT)
        return size

    def _is_last(self, event: dict[str, Any]) -> bool:
        if event["type"] == "websocket.close":
            return True
        # The text itself is not kept, and not decoded: both would count.
        found = re.search(r'"type": ?"(\w+)"', event.get("text") or "")
        word = found[1] if found else ""
        return word in {"complete", "error", "pong"} or (
            word == "connection_ack" and self.is_early
        )


@dataclass(frozen=True)
class OverHttp:
    """A request."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    query_string: bytes = b""
    method: str = "POST"

    @property
    def size(self) -> int:
        """Bytes that are sent."""
        lengths = (len(name) + len(value) for name, value in self.headers)
        return sum(lengths) + len(self.body) + len(self.query_string)

    async def send(self) -> int:
        """Send it and wait for the answer; return how many bytes that is."""
        answers: list[dict[str, Any]] = []
        events = iter([{"type": "http.request", "body": self.body}])

        async def receive() -> dict[str, Any]:
            event = next(events, None)
            if event is None:
                await asyncio.Event().wait()
                raise AssertionError
            return event

        async def answer(event: dict[str, Any]) -> None:
            answers.append(event)

        scope = {
            "type": "http",
            "method": self.method,
            "path": "/graphql/",
            "root_path": "",
            "scheme": "http",
            "query_string": self.query_string,
            "headers": [(b"host", b"localhost"), *self.headers],
        }
        await asyncio.wait_for(over_http(scope, receive, answer), ANSWER_TIMEOUT)
        return sum(len(event.get("body", b"")) for event in answers)


Message = OverWebSocket | OverHttp


def subscribe(query: str, **payload: Any) -> OverWebSocket:
    """Return an operation over WebSocket."""
    message = {"id": "1", "type": "subscribe", "payload": {"query": query, **payload}}
    return OverWebSocket(json.dumps(message, separators=(",", ":")))


def post(query: str, **more: Any) -> OverHttp:
    """Return an operation over HTTP."""
    body = json.dumps({"query": query, **more}, separators=(",", ":")).encode()
    return OverHttp(((b"content-type", b"application/json"),), body)


def repeated(piece: str, size: int, before: str = "", after: str = "") -> str:
    """Return a piece as often as it fits."""
    return before + piece * ((size - len(before) - len(after)) // len(piece)) + after


def numbered(piece: str, size: int, before: str = "", after: str = "") -> str:
    """Return a piece with a number in it as often as it fits."""
    pieces, room = [before], size - len(before) - len(after)
    for number in range(size):
        text = piece.format(n=number)
        room -= len(text)
        if room < 0:
            break
        pieces.append(text)
    return "".join([*pieces, after])


def by_graphql_core(selections: str) -> str:
    """Return a query with more conditions than the compiler takes."""
    names = [f"v{number}" for number in range(MAX_CONDITIONS + 1)]
    variables = " ".join(f"${name}:Boolean=true" for name in names)
    conditions = " ".join(f"{name}:name@include(if:${name})" for name in names)
    return f"query({variables}){{{conditions} {selections}}}"


def nested(opening: str, closing: str, inner: str, size: int) -> str:
    """Return as many levels as fit."""
    levels = (size - len(inner)) // (len(opening) + len(closing))
    return opening * levels + inner + closing * levels


def yardstick(size: int) -> OverWebSocket:
    """Return a document of distinct scalar fields: some levels with fields of every name."""
    levels, room = [], size - 100
    while room > 0:
        fields = []
        for number in range(WIDTH):
            room -= len(f"f{number} ")
            if room < 0:
                break
            fields.append(f"f{number}")
        levels.append(" ".join(fields) or "f0")
    inner = "".join(f"wide{{{fields} " for fields in levels)
    return subscribe("{" + inner + "}" * (len(levels) + 1))


def spread_twice(levels: int) -> str:
    """Return fragments each of which spreads the next one twice."""
    fragments = [
        f"fragment F{n} on Node {{ a: node {{ ...F{n + 1} }} b: node {{ ...F{n + 1} }} }}"
        for n in range(levels)
    ]
    return f"{{ node {{ ...F0 }} }} {' '.join(fragments)} fragment F{levels} on Node {{ name }}"


def circles(levels: int) -> str:
    """Return a chain of fragments with long names, the last of which spreads the first often."""
    names = [f"F{n}{'x' * 180}" for n in range(levels)]
    pairs = pairwise(names)
    chain = "".join(f"fragment {name} on Query{{...{after}}}" for name, after in pairs)
    return f"{chain}fragment {names[-1]} on Query{{{f'...{names[0]} ' * (levels // 2)}}}"


INTROSPECTION = (
    "__schema { types { name fields { name args { name } type { name ofType { name } } } } }"
)


def hostile(size: int) -> dict[str, Message]:
    """Return the messages, none of which is longer than `size`."""
    room = size - 200
    text = "x" * (room - 500 * 25)
    quotes, slashes = b'"' * (room - 100), b'"\\' * ((room - 100) // 2)
    json_type = (b"content-type", b"application/json")
    ok = b'{"query": "{ name }"}'

    def header(name: bytes, value: bytes) -> OverHttp:
        return OverHttp((json_type, (name, value)), ok)

    return {
        # Headers and query strings.
        "header: quotes in Accept": header(b"accept", quotes),
        "header: backslashes in Accept": header(b"accept", slashes),
        "header: commas in Accept": header(b"accept", b",;" * (room // 2 - 50)),
        "header: quotes in Content-Type": OverHttp(((b"content-type", quotes),), ok),
        "header: charset in Content-Type": OverHttp(
            ((b"content-type", b"application/json; charset=" + slashes),), ok
        ),
        "header: Origin": header(b"origin", b"https://" + b"a." * (room // 2 - 50)),
        "header: Accept-Encoding": header(b"accept-encoding", b"gzip;q=0." + b"0" * (room - 100)),
        "header: one name, often": OverHttp(((b"x", b"y" * 20),) * (room // 21), ok),
        "header: cookies": header(b"cookie", b"a=b; " * (room // 5 - 20)),
        "header: forwarded": header(b"x-forwarded-for", b"1.2.3.4, " * (room // 9 - 20)),
        "query string: pairs": OverHttp((), b"", b"a=&" * (room // 3), "GET"),
        "query string: percents": OverHttp((), b"", b"query=" + b"%7B" * (room // 3 - 3), "GET"),
        "body: multipart": OverHttp(
            ((b"content-type", b"multipart/form-data; boundary=a"),), b"--a\r\n" * (room // 5)
        ),
        # JSON.
        "json: nested": OverWebSocket(nested("[", "]", "", room)),
        "json: a number of many digits": OverWebSocket(
            '{"type":"ping","payload":{"a":' + "9" * (room - 50) + "}}"
        ),
        "json: objects": subscribe("{ name }", variables={"a": [{}] * (room // 3)}),
        "json: escaped surrogates": OverWebSocket(repeated("\\ud800", room, '{"type":"', '"}')),
        "json: before the ack": OverWebSocket(
            '{"type":"connection_init","payload":{"a":[' + repeated("{},", room - 60) + "1]}}",
            is_early=True,
        ),
        "json: extensions": subscribe("{ name }", extensions={"a": [{}] * (room // 3)}),
        "ping: large": OverWebSocket(json.dumps({"type": "ping", "payload": {"a": text}})),
        "id: long": OverWebSocket(
            json.dumps({"type": "subscribe", "id": text, "payload": {"query": "{ boom }"}})
        ),
        "word: unknown": OverWebSocket(json.dumps({"type": text})),
        "operation name: long": subscribe("query A { name } query B { name }", operationName=text),
        # Documents.
        "parse: braces": subscribe("{" * room),
        "parse: comments": subscribe(repeated("#\n", room // 2, "{ name }")),
        "parse: block string": subscribe(
            '{ echo(text: """' + repeated("\n ", room // 2) + '""") }'
        ),
        "parse: digits": subscribe("{ find(numbers: [" + "9" * (room - 50) + "]) }"),
        "validate: one field, often": subscribe(repeated("name ", room, "{", "}")),
        "validate: one object, often": subscribe(repeated("node{name}", room, "{", "}")),
        "validate: one object, fragments inside": subscribe(
            repeated("node{...{name}}", room, "{", "}")
        ),
        "validate: fragments in fragments": subscribe(nested("...{", "}", "name", room - 10)[3:]),
        "validate: named fragments": subscribe(
            numbered("...F{n} ", room // 4, "{", "}")
            + numbered("fragment F{n} on Query{{node{{name}}}} ", room * 3 // 4)
        ),
        "validate: a chain of fragments": subscribe(
            "{...F0}" + numbered("fragment F{n} on Query{{node{{name}}...F0}} ", room - 20)
        ),
        "validate: unknown fields": subscribe(numbered("nam{n} ", room, "{", "}")),
        "validate: a long unknown field": subscribe("{" + "n" * room + "}"),
        "validate: unknown arguments": subscribe(
            "{ echo(" + numbered("tex{n}:1 ", room - 20) + ") }"
        ),
        "validate: unknown enum values": subscribe(
            "{ " + numbered("a{n}:find(colour:REDD) ", room - 20) + "}"
        ),
        "validate: variables": subscribe(
            "query(" + numbered("$v{n}:Int ", room - 40) + ") { name }"
        ),
        "validate: undefined variables": subscribe(
            "{ find(numbers: [" + numbered("$v{n} ", room - 40) + "]) }"
        ),
        "validate: operations": subscribe(numbered("query Q{n}{{name}} ", room)),
        "validate: directives": subscribe(
            "{ name " + repeated("@skip(if:false)", room - 20) + "}"
        ),
        # Those that follow are shorter, or `max_tokens` would be all that they meet.
        "validate: conditions of subscriptions": subscribe(
            f"fragment F on Subscriptions{{onEvent{'@skip(if:true)' * (size // 80)}{{text}}}}"
            + numbered("subscription S{n}{{...F}}", size // 2)
        ),
        "validate: limits of operations": subscribe(
            f"fragment F on Query{{{'a:name ' * 1_001}}}"
            + numbered("query Q{n}{{...F}}", size // 2)
        ),
        "validate: circles of fragments": subscribe("{name}" + circles(room // 512)),
        "validate: nested values": subscribe(
            "{ find(filter: " + nested("{inner:", "}", "{number:1}", room - 40) + ") }"
        ),
        # Executions.
        "execute: introspection under aliases": subscribe(
            numbered("a{n}:__schema{{...F}} ", 1_000, "{", "}")
            + "fragment F on __Schema { types { name fields { name } } }"
        ),
        "execute: introspection": subscribe("{" + INTROSPECTION + "}"),
        "execute: types of types": subscribe(
            "{__schema{types{" + nested("fields{type{", "}}", "name", 1_000) + "}}}"
        ),
        "execute: fragments, each twice": subscribe(spread_twice(30)),
        "execute: lists in lists": subscribe("{nodes" + "{nodes" * 9 + "{name}" + "}" * 10),
        "execute: lists in lists over HTTP": post("{nodes" + "{nodes" * 9 + "{name}" + "}" * 10),
        "execute: nothing of objects": subscribe(
            "{nodes" + "{nodes" * 4 + "{...@skip(if:true){name}}" + "}" * 5
        ),
        "execute: nothing of many objects": subscribe(
            "{" + numbered("a{n}:many{{...@skip(if:true){{name}}}}", min(room, 33_000)) + "}"
        ),
        "execute: lists of scalars": subscribe("{" + numbered("a{n}:numbers ", 15_000) + "}"),
        "execute: awaited fields of many objects": subscribe(
            "{" + " ".join(f"a{n}:many{{later}}" for n in range(6)) + "}"
        ),
        "execute: many awaited fields of objects": subscribe(
            "{nodes{nodes{nodes{" + numbered("a{n}:later ", 800) + "}}}}"
        ),
        "execute: many fields of awaited objects": subscribe(
            "{nodes{nodes{awaited{" + numbered("a{n}:later ", 2_500) + "}}}}"
        ),
        "execute: the same by graphql-core": subscribe(
            by_graphql_core("nodes{nodes{awaited{" + numbered("a{n}:later ", 2_500) + "}}}")
        ),
        "execute: awaited fields of many by graphql-core": subscribe(
            by_graphql_core("a:many{later} b:many{later}")
        ),
        "execute: threads below awaited objects": replace(
            subscribe("{nodes{nodes{nodes{" + numbered("a{n}:awaited{{called}} ", 190) + "}}}}"),
            is_in_threads=True,
        ),
        "execute: threads below awaited lists": replace(
            subscribe("{" + numbered("a{n}:many{{awaited{{called}}}} ", 25) + "}"),
            is_in_threads=True,
        ),
        "execute: a text under aliases": subscribe(
            "query($t:String){" + "".join(f"a{n}:echo(text:$t) " for n in range(500)) + "}",
            variables={"t": text},
        ),
        "execute: values in variables": subscribe(
            "query($f:Filter){find(filter:$f)}",
            variables={"f": {"inners": [{"number": 1}] * (room // 15)}},
        ),
        "execute: wrong values in variables": subscribe(
            "query($n:[Int]){find(numbers:$n)}", variables={"n": ["x"] * (room // 4)}
        ),
        "subscribe: variables": subscribe(
            "subscription($f:Filter){onEvent(filter:$f){text nosuch}}",
            variables={"f": {"inners": [{}] * (room // 3)}},
        ),
        # The log.
        "log: errors": subscribe("{" + numbered("a{n}:boom ", 4_800) + "}"),
        "log: errors below": subscribe(
            "{nodes{nodes{nodes{nodes{" + numbered("a{n}:boom ", 90) + "}}}}}"
        ),
        "log: errors in long lines": subscribe(
            "{" + numbered(f'a{{n}}:boom(text:"{"s" * (room // 500)}") ', room) + "}"
        ),
        "log: errors with a long argument": subscribe(
            "query($t:String){" + "".join(f"a{n}:boom(text:$t) " for n in range(100)) + "}",
            variables={"t": text},
        ),
    }


def legacy(messages: dict[str, Message]) -> dict[str, Message]:
    """Return those for the WebSocket in the legacy protocol, too."""
    more: dict[str, Message] = {}
    for name, message in messages.items():
        is_operation = isinstance(message, OverWebSocket) and '"type":"subscribe"' in message.text
        if isinstance(message, OverWebSocket) and is_operation:
            text = message.text.replace('"type":"subscribe"', '"type":"start"', 1)
            more[f"{name} (legacy)"] = replace(message, text=text, subprotocol="graphql-ws")
    return more


# How it is measured.


class LogSize(logging.Handler):
    """Counts what is logged, as a file would have it."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record."""
        self.size += len(self.format(record)) + 1


class Held:
    """Measures how long the event loop is kept from others at a time, in CPU time."""

    longest = 0.0

    async def measure(self) -> None:
        """Come again and again, as others would."""
        before = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now


async def sent(message: Message) -> tuple[int, float]:
    """Send a message; return the bytes of the answer, and what `Held` has measured."""
    held = Held()
    measuring = asyncio.ensure_future(held.measure())
    await asyncio.sleep(0)
    try:
        return await message.send(), held.longest
    finally:
        measuring.cancel()


def measured(message: Message) -> Cost:
    """Return what a message costs this process."""
    log = LogSize()
    logging.getLogger().addHandler(log)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    answer, held = asyncio.run(sent(message))
    cpu = time.process_time() - started
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return Cost(cpu, held, memory, answer, log.size)


def measured_apart(message: Message) -> Cost | str:
    """Return what a message costs a process of its own, or what became of that."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
        result: Cost | str
        try:
            result = measured(message)
        except BaseException as error:  # noqa: BLE001 (told by the parent)
            result = f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    if not content:
        return f"ended by signal {os.waitstatus_to_exitcode(status)}, after {CPU_LIMIT} s or so"
    cost: Cost | str = pickle.loads(content)  # noqa: S301 (of our own child)
    return cost


def problems(cost: Cost | str, unit: Cost) -> list[str]:
    """Return what is too much."""
    if isinstance(cost, str):
        return [cost]
    found = []
    if cost.cpu > MOST_TIMES * unit.cpu:
        found.append("too much CPU time")
    if cost.held > unit.cpu:
        found.append("keeps others waiting")
    if cost.memory > MOST_MEMORY:
        found.append("too much memory")
    if cost.log > MOST_LOG:
        found.append("too long a log")
    return found


HEADING = (
    f"{'message':<50} {'bytes':>7} {'CPU ms':>9} {'times':>7} {'held ms':>8} {'MiB':>7} "
    f"{'answer':>11} {'log':>7}"
)


def row(name: str, size: int, cost: Cost | str, unit: Cost, found: Iterable[str]) -> str:
    """Return a line of the table."""
    verdict = ", ".join(found) or "ok"
    if isinstance(cost, str):
        return f"{name:<50} {size:>7,} {verdict:>52}"
    return (
        f"{name:<50} {size:>7,} {cost.cpu * 1000:>9,.1f} {cost.cpu / unit.cpu:>7.2f} "
        f"{cost.held * 1000:>8,.1f} "
        f"{cost.memory / 2**20:>7.1f} {cost.answer:>11,} {cost.log:>7,}  {verdict}"
    )


def main() -> int:
    """Send each message, print the table; return 1 if one is too dear."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"messages of {SHORT} bytes")
    parser.add_argument("--only", default="", help="a part of the names")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    size = SHORT if options.short else SIZE
    # Everything that is imported late is there before the first fork.
    for message in (subscribe("{ nosuch }"), subscribe("{ name }"), post("{ name }")):
        measured(message)
    unit = min(_costs(yardstick(size), 3), key=lambda cost: cost.cpu)
    print(HEADING)
    print(row("document of distinct scalar fields", yardstick(size).size, unit, unit, []))
    messages = hostile(size)
    failed = 0
    for name, message in {**messages, **legacy(messages)}.items():
        if options.only not in name:
            continue
        assert message.size <= size + 1_000, (name, message.size)
        cost = measured_apart(message)
        found = problems(cost, unit)
        failed += bool(found)
        print(row(name, message.size, cost, unit, found), flush=True)
    print(f"{failed} are too dear" if failed else "None is too dear.")
    return 1 if failed else 0


def _costs(message: Message, times: int) -> list[Cost]:
    costs = [measured_apart(message) for _ in range(times)]
    assert all(isinstance(cost, Cost) for cost in costs), costs
    return [cost for cost in costs if isinstance(cost, Cost)]


if __name__ == "__main__":
    sys.exit(main())
