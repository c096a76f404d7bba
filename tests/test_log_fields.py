"""The fields of log records: which connection, which user, which operation."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from channels_graphql_ws.client_log import ClientFields, ClientLog, LogFields, logs_about
from channels_graphql_ws.execution.errors import without_values
from channels_graphql_ws.http.reservations import reservations_of_loop
from channels_graphql_ws.operations.places import user_id_of
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from http_client import EVENTS, ask, post, streaming
from pages import blocks
from support import wait_until

FIELDS = ("connection", "user_id", "operation_id", "operation_name")

ADA = SimpleNamespace(pk=7, is_authenticated=True)

own_log = logging.getLogger("tests.log_fields")


class OnEvent(Subscription):
    """Fails where it is told to."""

    text = graphene.String()

    @staticmethod
    def subscribe(root: Any, info: Any) -> list[str]:
        return ["a"]

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        raise ValueError("publish")


class Query(graphene.ObjectType):
    """Fails, or logs."""

    fail = graphene.String(text=graphene.String())
    log = graphene.String()

    @staticmethod
    def resolve_fail(root: Any, info: Any, text: str | None = None) -> str:
        raise ValueError("resolver")

    @staticmethod
    def resolve_log(root: Any, info: Any) -> str:
        own_log.warning("from a resolver")
        return ""


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_event = OnEvent.Field()
    count = graphene.Int()

    @staticmethod
    async def subscribe_count(_root: Any, _info: Any) -> AsyncIterator[int]:
        yield 1
        raise ValueError("generator")

    @staticmethod
    def resolve_count(number: int, _info: Any) -> int:
        return number


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


class Consumer(GraphqlWsConsumer):
    """Knows the user only by its `on_connect`."""

    schema = SCHEMA

    async def on_connect(self, payload: Any) -> None:
        if payload.get("name") == "nobody":
            raise ValueError("who?")
        self.scope["user"] = ADA


@asynccontextmanager
async def connected(application: Any = None, name: str = "ada") -> AsyncIterator[GraphqlWsClient]:
    client = GraphqlWsClient(GraphqlWsTransport(application or Consumer.as_asgi(), "/"))
    try:
        await client.connect_and_init(payload={"name": name})
        yield client
    finally:
        await client.finalize()


def fields_of(caplog: pytest.LogCaptureFixture, text: str) -> dict[str, Any]:
    (record,) = [each for each in caplog.records if text in each.getMessage()]
    return {name: getattr(record, name) for name in FIELDS}


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "channels_graphql_ws")


@pytest.mark.parametrize("in_threads", [False, True])
async def test_an_error_of_a_resolver_names_operation_connection_and_user(
    caplog: pytest.LogCaptureFixture, *, in_threads: bool
) -> None:
    async with connected(Consumer.as_asgi(resolve_sync_in_threads=in_threads)) as client:
        with pytest.raises(Exception, match="resolver"):
            await client.execute("query Failing { fail }")
    fields = fields_of(caplog, "ValueError('resolver')")
    assert fields.pop("operation_id")
    assert len(fields.pop("connection")) == 16
    assert fields == {"user_id": 7, "operation_name": "Failing"}


async def test_what_is_said_of_a_connection_names_no_operation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected() as client:
        await client.execute("query Named { log }")
        await client.send_raw_text("{")
        await client.wait_disconnect()
    came = fields_of(caplog, "A client has connected")
    closed = fields_of(caplog, "Closing a connection")
    assert came["connection"] == closed["connection"] is not None
    assert (came["user_id"], closed["user_id"]) == (None, 7)
    assert closed["operation_id"] is closed["operation_name"] is None


async def test_who_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exception, match="Forbidden|who"):  # noqa: RUF043 (one of two)
        async with connected(name="nobody"):
            pass
    assert fields_of(caplog, "A client was rejected")["connection"]


async def test_each_event_names_its_subscription(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as client:
        id = await client.subscribe(
            "subscription Events { onEvent { text } }", wait_confirmation=False
        )
        await OnEvent.broadcast(payload="")
        with pytest.raises(Exception, match="publish"):
            await client.receive()
        await client.complete(id)
        await wait_until(lambda: "has ended" in caplog.text)
    for text in (
        "Subscribed to",
        "ValueError('publish')",
        "The subscription to OnEvent has ended",
    ):
        fields = fields_of(caplog, text)
        assert (fields["operation_id"], fields["operation_name"]) == (id, "Events")
        assert (fields["user_id"], len(fields["connection"])) == (7, 16)


async def test_a_generator_names_its_operation(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as client:
        id = await client.subscribe("subscription { count }", wait_confirmation=False)
        await client.receive()
        with pytest.raises(Exception, match="generator"):
            await client.receive()
    fields = fields_of(caplog, "ValueError('generator')")
    assert (fields["operation_id"], fields["operation_name"]) == (id, None)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_over_http(caplog: pytest.LogCaptureFixture, *, is_stream: bool) -> None:
    consumer = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await consumer({**scope, "user": ADA}, receive, send)

    if is_stream:
        async with streaming(application, "subscription Failing { count }") as one:
            await one.rest()
            await one.finished()
    else:
        await post(application, {"query": "query Failing { fail }"})
    fields = fields_of(
        caplog, "ValueError('generator')" if is_stream else "ValueError('resolver')"
    )
    assert (fields["operation_name"], fields["user_id"]) == ("Failing", 7)
    assert len(fields["connection"]) == 16


async def test_a_refused_request(caplog: pytest.LogCaptureFixture) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    headers = {"Origin": "https://evil.example", "Host": "testserver"}
    await post(application, {"query": "{ log }"}, headers=headers)
    fields = fields_of(caplog, "evil.example")
    assert fields["connection"]
    assert fields["user_id"] is fields["operation_id"] is None


async def test_operations_on_a_reserved_stream_are_of_one_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, single_connection_enabled=True)
    token = (await ask(application, "PUT", headers={"Accept": EVENTS})).body.decode()
    headers = {"X-GraphQL-Event-Stream-Token": token}
    for id in ("1", "2"):
        content = {"query": "{ fail }", "extensions": {"operationId": id}}
        await post(application, content, headers=headers)

    def records() -> list[logging.LogRecord]:
        return [each for each in caplog.records if "ValueError" in each.getMessage()]

    await wait_until(lambda: len(records()) == 2)
    assert len({vars(each)["connection"] for each in records()}) == 1
    assert len({vars(each)["operation_id"] for each in records()}) == 2
    reservations = reservations_of_loop()
    await reservations.close(reservations.find(token))


async def test_own_records_have_the_fields_by_a_filter() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(ClientFields())
    handler.setFormatter(logging.Formatter("%(operation_name)s %(user_id)s: %(message)s"))
    own_log.addHandler(handler)
    try:
        async with connected() as client:
            await client.execute("query Mine { log }")
        own_log.warning("outside")
    finally:
        own_log.removeHandler(handler)
    assert text.getvalue() == "Mine 7: from a resolver\nNone None: outside\n"


def test_a_number_that_a_client_has_chosen_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog("channels_graphql_ws.http")
    for id in (7, 10**1_000 - 1):
        with logs_about(LogFields(log, lambda _: ("c", 1), id)):
            log.warning("a line about %r", id)
    small, large = [vars(each)["operation_id"] for each in caplog.records]
    assert small == 7
    assert large == "9" * 100 + "…"


def test_what_a_client_has_chosen_is_cut_and_breaks_no_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = ClientLog("channels_graphql_ws.http")
    with logs_about(LogFields(log, lambda _: ("c", "u\n"), "1\n2", "n" * 1_000)):
        log.warning("a line")
    fields = fields_of(caplog, "a line")
    assert fields["operation_id"] == "1\\n2"
    assert fields["user_id"] == "u\\n"
    assert len(fields["operation_name"]) == 101


async def test_values_of_variables_and_strings_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected(Consumer.as_asgi(warn_operation_timeout=0)) as client:
        query = 'query Q($a: String) { one: fail(text: $a) two: fail(text: "hush") }'
        with pytest.raises(Exception, match="resolver"):
            await client.execute(query, {"a": "secret"})
    assert "It was" in caplog.text
    assert "secret" not in caplog.text
    assert "hush" not in caplog.text
    assert "{'a': 'str'}" in caplog.text


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ("{ a }", "{ a }"),
        (r'{ a(b: "c\"d", e: "f") }', '{ a(b: "…", e: "…") }'),
        ('{ a(b: """c "d" \\""" e\nf""") g(h: "i") }', '{ a(b: "…") g(h: "…") }'),
        ('{ a(b: "", c: """""") }', '{ a(b: "…", c: "…") }'),
        ('{ a(b: "c" ? "secret") }', '{ a(b: "…"…'),
        ("{ a }" * 1_000, "{ a }" * 100),
    ],
)
def test_a_document_is_shown_without_its_strings(document: str, shown: str) -> None:
    assert without_values(document) == shown


class Broken:
    """A user whose rights nobody knows."""

    @property
    def is_authenticated(self) -> bool:
        raise ValueError


@pytest.mark.parametrize(
    ("user", "key"),
    [
        (ADA, 7),
        (None, None),
        (AnonymousUser(), None),
        (Broken(), None),
    ],
)
def test_the_user_of_a_scope(user: Any, key: Any) -> None:
    assert user_id_of({"user": user}) == key


def test_the_user_is_told_without_a_query() -> None:
    user = SimpleLazyObject(lambda: ADA)
    assert user_id_of({"user": user}) is None
    assert user.pk == 7
    assert user_id_of({"user": user}) == 7


def test_the_formatter_of_the_page_makes_json() -> None:
    page = Path(__file__).parent.parent / "docs" / "reference" / "logging.md"
    code = next(each.code for each in blocks(page) if "JsonFormatter" in each.code)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code, str(page), "exec"), names)  # noqa: S102 (our own document)
    path = names["LOGGING"]["filters"]["client"]["()"]
    assert import_string(path) is ClientFields
    error = ValueError("a mistake")
    record = own_log.makeRecord(
        "x", logging.ERROR, "file", 1, "%s", ("hi",), (ValueError, error, None)
    )
    ClientFields().filter(record)
    line = json.loads(names["JsonFormatter"]().format(record))
    assert (line["message"], line["operation_id"]) == ("hi", None)
    assert "a mistake" in line["traceback"]
