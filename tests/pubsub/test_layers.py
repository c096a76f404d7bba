"""Where broadcasts go: what consumer classes say, as they come, change and go."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer

from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.pubsub import layers as destinations
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import (
    check_destination,
    forget_cached,
    register_endpoint,
)
from news_schema import consumer_class

IN_MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


class Remote(InMemoryChannelLayer):
    """Stands for a layer that connects processes."""


class Owner:
    """What has the attributes of a consumer class."""

    channel_layer_alias = "default"
    group_name_prefix = "GQLWS"


@pytest.fixture(autouse=True)
def owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the owners of this test count."""
    monkeypatch.setattr(destinations, "_owners", (ref(Owner),))
    monkeypatch.setattr(destinations, "_known", None)


@pytest.fixture
def settled() -> type[Any]:
    """A class like the others, from before a broadcast was sent."""
    made = owner()
    assert found() == [("default", "GQLWS")]
    return made


@pytest.fixture
def remote(settings: Any) -> Remote:
    """The layer of this test connects processes."""
    settings.CHANNEL_LAYERS = {"default": {**IN_MEMORY, "BACKEND": f"{__name__}.Remote"}}
    layer = get_channel_layer()
    assert isinstance(layer, Remote)
    return layer


def owner(**attributes: Any) -> type[Any]:
    made = type("Made", (Owner,), attributes)
    register_endpoint(made)
    return made


def found() -> list[tuple[str, str]]:
    """Give the destinations, with the alias in place of the layer."""
    aliases = {id(get_channel_layer(alias)): alias for alias in channel_layers.configs}
    return [(aliases[id(layer)], prefix) for layer, prefix in destinations.destinations()]


def test_classes_that_say_the_same_are_one_destination() -> None:
    kept = [owner(), owner()]
    assert found() == [("default", "GQLWS")]
    del kept


def test_a_process_that_has_imported_no_consumer_reaches_those_with_default_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(destinations, "_owners", ())
    assert found() == [("default", "GQLWS")]


def test_a_subclass_of_a_consumer_is_a_destination() -> None:
    class Consumer(GraphqlWsConsumer):
        group_name_prefix = "Mine"

    assert ("default", Consumer.group_name_prefix) in found()


def test_each_prefix_is_a_destination_of_its_own_in_a_fixed_order() -> None:
    kept = [owner(group_name_prefix="B"), owner(group_name_prefix="A")]
    assert [prefix for _, prefix in found()] == ["A", "B", "GQLWS"]
    del kept


@pytest.mark.parametrize("name", ["channel_layer_alias", "group_name_prefix"])
def test_a_class_that_computes_it_on_its_instances_holds_up_no_broadcast(name: str) -> None:
    kept = owner(**{name: property(lambda self: "Mine")})
    assert found() == [("default", "GQLWS")]
    del kept


def test_a_class_that_is_gone_is_no_destination() -> None:
    made = owner(group_name_prefix="Mine")
    del made
    gc.collect()
    assert found() == [("default", "GQLWS")]
    kept = owner()
    assert len(destinations._owners) == 2
    del kept


def test_a_layer_that_is_not_configured_is_left_out_until_it_is(settings: Any) -> None:
    kept = owner(channel_layer_alias="other")
    assert found() == [("default", "GQLWS")]
    settings.CHANNEL_LAYERS = {"default": IN_MEMORY, "other": IN_MEMORY}
    assert found() == [("default", "GQLWS"), ("other", "GQLWS")]
    del kept


def test_where_no_layer_is_configured_the_error_names_the_setting(settings: Any) -> None:
    kept = owner(channel_layer_alias="other")
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(ChannelLayerError, match="CHANNEL_LAYERS"):
        destinations.destinations()
    del kept


def test_nobody_is_asked_again_while_nothing_has_changed(settled: type[Any]) -> None:
    first = destinations.destinations()
    assert destinations.destinations() is first


def test_a_class_that_comes_later_is_a_destination(settled: type[Any]) -> None:
    kept = owner(group_name_prefix="Mine")
    assert found() == [("default", "GQLWS"), ("default", "Mine")]
    del kept


def test_a_layer_that_comes_in_the_place_of_another_is_the_destination(
    settled: type[Any], settings: Any
) -> None:
    before = destinations.destinations()
    settings.CHANNEL_LAYERS = {"default": IN_MEMORY}
    [(layer, _)] = destinations.destinations()
    assert layer is get_channel_layer()
    assert layer is not before[0][0]


def test_an_attribute_that_changes_takes_effect_when_its_class_begins_to_listen(
    settled: type[Any],
) -> None:
    settled.group_name_prefix = "Mine"
    forget_cached()
    assert found() == [("default", "GQLWS"), ("default", "Mine")]
    settled.group_name_prefix = "GQLWS"
    assert found() == [("default", "GQLWS")]


def test_with_a_layer_that_connects_processes_it_takes_effect_at_once(
    settled: type[Any], remote: Remote
) -> None:
    assert destinations.destinations() == [(remote, "GQLWS")]
    settled.group_name_prefix = "Mine"
    assert destinations.destinations() == [(remote, "GQLWS"), (remote, "Mine")]


def test_a_consumer_class_begins_to_listen_when_its_engine_is_made() -> None:
    consumer = consumer_class()
    register_endpoint(consumer)
    assert len(found()) == 1
    consumer.group_name_prefix = "Mine"
    engine_of(consumer())
    assert found() == [("default", "GQLWS"), ("default", "Mine")]


async def test_a_consumer_class_begins_to_listen_when_a_layer_is_listened_to(
    settings: Any, settled: type[Any]
) -> None:
    settings.CHANNEL_LAYERS = {"default": IN_MEMORY, "other": IN_MEMORY}
    assert found() == [("default", "GQLWS")]
    settled.channel_layer_alias = "other"
    layer: Any = get_channel_layer("other")
    ear = hub_of(layer)
    ear.acquire()
    assert found() == [("default", "GQLWS"), ("other", "GQLWS")]
    await ear.release()


@pytest.mark.parametrize("name", ["group_name_prefix", "channel_layer_alias"])
def test_an_endpoint_may_not_listen_elsewhere_than_its_class(name: str) -> None:
    endpoint = Owner()
    check_destination(endpoint)
    setattr(endpoint, name, "mine")
    with pytest.raises(TypeError, match=rf"Owner\.{name} is 'mine' on an instance"):
        check_destination(endpoint)
