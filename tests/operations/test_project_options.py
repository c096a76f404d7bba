"""The setting CHANNELS_GRAPHQL_WS: defaults of options, one destination, and its mistakes."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
)
from channels_graphql_ws.concurrency.threads import EVENTS, OPERATIONS, limit_threads
from channels_graphql_ws.operations.defaults import settled
from channels_graphql_ws.operations.engine import Engine, engine_of
from channels_graphql_ws.operations.interfaces import EngineSettings
from channels_graphql_ws.operations.mounting import mounted
from channels_graphql_ws.operations.project_options import check_project_settings, problems
from channels_graphql_ws.pubsub.layers import destinations
from channels_graphql_ws.settings import ProjectSettings, project_settings
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from news_schema import News, consumer_class, schema

NEWS = 'subscription { news(topic: "tea") { text } }'


def set_to(**values: Any) -> Any:
    return override_settings(CHANNELS_GRAPHQL_WS=values)


def no_middleware(next: Any, root: Any, info: Any, **arguments: Any) -> Any:
    return next(root, info, **arguments)


@set_to(MAX_DEPTH=7, SEND_PING_EVERY=25, MAX_BODY_SIZE=1_000)
def test_an_option_in_the_setting_is_the_default_of_all_consumers_and_views() -> None:
    for cls in (GraphqlWsConsumer, GraphqlHttpConsumer, GraphqlView):
        assert settled(cls).max_depth == 7
    assert settled(GraphqlWsConsumer).send_ping_every == 25
    assert not hasattr(settled(GraphqlWsConsumer), "max_body_size")
    assert settled(GraphqlView).max_body_size == 1_000


@set_to(MAX_DEPTH=7)
def test_an_attribute_of_the_class_or_instance_wins() -> None:
    consumer = type("Own", (consumer_class(),), {"max_depth": 3})
    assert engine_of(consumer()).settings.rules.max_depth == 3
    instance = consumer_class()()
    instance.max_depth = 4
    assert engine_of(instance).settings.rules.max_depth == 4
    assert engine_of(consumer_class()()).settings.rules.max_depth == 7


def test_a_program_may_configure_django_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels_graphql_ws.settings.settings", LazySettings())
    asked = ProjectSettings()
    assert asked.get("BROADCAST_TIMEOUT") == 5
    monkeypatch.undo()
    with set_to(BROADCAST_TIMEOUT=1):
        assert asked.get("BROADCAST_TIMEOUT") == 1


def test_a_default_that_is_a_setting_may_be_read_before_django_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1):
        monkeypatch.setattr("channels_graphql_ws.operations.defaults.settings", LazySettings())
        assert GraphqlWsConsumer.max_message_size == 2_621_440
        monkeypatch.undo()
        assert GraphqlWsConsumer.max_message_size == 1


def test_a_test_may_change_the_setting() -> None:
    cls = consumer_class()
    with set_to(MAX_DEPTH=7):
        assert engine_of(cls()).settings.rules.max_depth == 7
    with set_to(MAX_DEPTH=8):
        assert engine_of(cls()).settings.rules.max_depth == 8
    assert engine_of(cls()).settings.rules.max_depth == 50


@set_to(MIDDLEWARE=[f"{__name__}.no_middleware"], SAFETY="compatible", MAX_DEPTH=7)
def test_functions_are_named_by_dotted_paths_and_what_is_set_is_kept_by_safety() -> None:
    options = settled(GraphqlHttpConsumer)
    assert options.middleware == [no_middleware]
    assert (options.max_depth, options.max_aliases) == (7, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], r"CHANNELS_GRAPHQL_WS is \[\], it must be a dictionary"),
        ({"MAX_DEPHT": 1}, "unknown key 'MAX_DEPHT', did you mean 'MAX_DEPTH'"),
        ({"max_depth": 1}, "unknown key 'max_depth', did you mean 'MAX_DEPTH'"),
        ({"BRAODCAST_TIMEOUT": 1}, "did you mean 'BROADCAST_TIMEOUT'"),
        ({1: 1, "zzzzzzz": 2}, "unknown key 1$"),
        ({"SCHEMA": schema}, "unknown key 'SCHEMA'"),
        ({"MAX_DEPTH": -1}, r"CHANNELS_GRAPHQL_WS\['MAX_DEPTH'\] is -1, it must be a number ≥ 0"),
        ({"STRICT_ORDERING": "no"}, r"\['STRICT_ORDERING'\] is 'no', it must be `True` or"),
        (
            {"MIDDLEWARE": ["no.such"]},
            r"\['MIDDLEWARE'\] names 'no.such', which cannot be imported: No module named 'no'",
        ),
        (
            {"BROADCAST_TIMEOUT": 0},
            r"\['BROADCAST_TIMEOUT'\] is 0, it must be a number of seconds",
        ),
        ({"SAFETY": "off"}, r"\['SAFETY'\] is 'off', it must be 'safe' or 'compatible'"),
        (
            {"GROUP_NAME_PREFIX": "a b"},
            r"\['GROUP_NAME_PREFIX'\]: group_name_prefix 'a b' must be",
        ),
        (
            {"OUTBOX_DATABASES": "default"},
            r"\['OUTBOX_DATABASES'\] is 'default', it must be a list",
        ),
        (
            {"OUTBOX_DATABASES": ["default", "nowhere"]},
            r"\['OUTBOX_DATABASES'\] has 'nowhere', which is not a key of DATABASES",
        ),
        ({"GROUP_NAME_PREFIX": 7}, r"\['GROUP_NAME_PREFIX'\] is 7, it must be a string"),
    ],
)
def test_a_mistake_in_the_setting_is_refused_where_a_consumer_is_mounted(
    value: Any, text: str
) -> None:
    with (
        override_settings(CHANNELS_GRAPHQL_WS=value),
        pytest.raises(ImproperlyConfigured, match=text),
    ):
        check_project_settings()


@pytest.mark.parametrize("aliases", [["default"], [], None])
def test_the_databases_of_the_outbox_may_be_named(aliases: Any) -> None:
    with set_to(OUTBOX_DATABASES=aliases):
        assert GraphqlWsConsumer.as_asgi(schema=schema)


@set_to(RESOLVE_SYNC_IN_THREADS=False)
def test_the_router_has_no_defaults_of_its_own_for_what_is_set() -> None:
    mounted.clear()
    router = GraphqlProtocolTypeRouter(schema, shutdown_timeout=None)
    assert {settled(cls).resolve_sync_in_threads for cls in mounted} == {False}
    del router


@set_to(MAX_DEPHT=7)
def test_every_kind_of_endpoint_refuses_it() -> None:
    for mount in (
        lambda: GraphqlWsConsumer.as_asgi(schema=schema),
        lambda: GraphqlHttpConsumer.as_asgi(schema=schema),
        lambda: GraphqlView.as_view(schema=schema),
        lambda: GraphqlProtocolTypeRouter(schema, shutdown_timeout=None),
        lambda: engine_of(consumer_class()()),
    ):
        with pytest.raises(ImproperlyConfigured, match="MAX_DEPHT"):
            mount()


@set_to(SUBPROTOCOLS=("graphql",))
def test_a_subprotocol_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'graphql'"):
        GraphqlWsConsumer.as_asgi(schema=schema)


@set_to(
    BROADCAST_TIMEOUT=None,
    CHANNEL_LAYER_ALIAS="default",
    DEBUG=None,
    GROUP_NAME_PREFIX="SHOP",
    HISTORY=None,
    SUBPROTOCOLS=["graphql-transport-ws"],
    MASK_ERRORS=True,
)
def test_what_makes_sense_is_taken() -> None:
    check_project_settings()
    GraphqlWsConsumer.as_asgi(schema=schema)
    assert project_settings.get("HISTORY_CHECK_EVERY") == 10


@set_to(GROUP_NAME_PREFIX="SHOP")
async def test_a_process_that_knows_no_consumer_sends_where_clients_listen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert [prefix for _, prefix in destinations()] == ["SHOP"]
    other = type("Other", (consumer_class(),), {"group_name_prefix": "ELSE"})
    client = GraphqlWsClient(GraphqlWsTransport(other.as_asgi(), path="/"))
    await client.connect_and_init()
    await client.subscribe(NEWS, wait_confirmation=False)
    with caplog.at_level(logging.WARNING):
        News.broadcast(group="tea", payload="hot")
    assert (await client.receive())["data"] == {"news": {"text": "hot"}}
    await client.finalize()
    other.as_asgi()


def test_a_class_that_differs_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    other = type("Other", (consumer_class(),), {"group_name_prefix": "ELSE"})
    with set_to(GROUP_NAME_PREFIX="SHOP", CHANNEL_LAYER_ALIAS="default"):
        other.as_asgi()
        engine_of(other())
        (record,) = caplog.records
    assert "Other.group_name_prefix is 'ELSE', and" in record.getMessage()
    assert "the setting wins" in record.getMessage()


@pytest.mark.parametrize("name", ["group_name_prefix", "channel_layer_alias"])
@pytest.mark.parametrize("base", [GraphqlWsConsumer, GraphqlHttpConsumer])
def test_a_class_that_workers_may_not_know_is_warned_about_once(
    name: str, base: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    redis = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": redis, "live": redis, "SHOP": redis}
    other = type("Other", (base,), {name: "SHOP", "schema": schema})
    other.as_asgi()
    other.as_asgi()
    (record,) = caplog.records
    assert f"Other.{name} is 'SHOP': what a process broadcasts that" in record.getMessage()
    assert f"Set CHANNELS_GRAPHQL_WS['{name.upper()}'] instead" in record.getMessage()


def test_a_class_of_one_process_is_not_warned_about(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": memory}
    type("Other", (consumer_class(),), {"group_name_prefix": "SHOP"}).as_asgi()
    settings.CHANNEL_LAYERS = {"default": {**memory, "BACKEND": "channels_redis.x.Layer"}}
    type("Same", (consumer_class(),), {"group_name_prefix": "GQLWS"}).as_asgi()
    computed = {"group_name_prefix": property(lambda self: "SHOP")}
    type("Computed", (consumer_class(),), computed).as_asgi()
    assert not caplog.records


async def test_a_layer_in_the_setting_carries_broadcasts_of_all_classes(settings: Any) -> None:
    memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": memory, "live": memory}
    gc.collect()  # Consumers of other tests count as long as they live.
    before = destinations()
    with set_to(CHANNEL_LAYER_ALIAS="live"):
        assert destinations() != before
        client = GraphqlWsClient(GraphqlWsTransport(consumer_class().as_asgi(), path="/"))
        await client.connect_and_init()
        await client.subscribe(NEWS, wait_confirmation=False)
        News.broadcast(group="tea", payload="hot")
        assert (await client.receive())["data"] == {"news": {"text": "hot"}}
        await client.finalize()
    assert destinations() == before


@pytest.mark.parametrize("count", [0, 1.5, True, "8", None])
def test_a_number_of_threads_that_makes_no_sense_is_refused(count: Any) -> None:
    with set_to(THREADS=count), pytest.raises(Exception, match="must be an integer > 0"):
        GraphqlWsConsumer.as_asgi(schema=schema)


def test_the_number_of_threads_is_that_of_the_setting() -> None:
    before = OPERATIONS.count
    with set_to(THREADS=8):
        Engine(EngineSettings(schema=schema.graphql_schema))
    assert (OPERATIONS.count, EVENTS.count) == (8, 8)
    limit_threads(before)


@set_to(MIDDLEWARE=["no.such"], SEND_PING_EVERY="25")
def test_each_key_is_told_of_its_own_mistake() -> None:
    about_middleware, about_pings = problems()
    assert "['MIDDLEWARE'] names 'no.such', which cannot be imported" in about_middleware
    assert "['SEND_PING_EVERY'] is '25', it must be a number" in about_pings
