"""Where broadcasts go: what consumer classes say, as they come, change and go."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest

from channels_graphql_ws import GraphqlWsConsumer, destinations
from channels_graphql_ws.destinations import add_owner

DEFAULT = ("default", "GQLWS")


class Owner:
    """What has the attributes of a consumer class."""

    channel_layer_alias = "default"
    group_name_prefix = "GQLWS"


@pytest.fixture(autouse=True)
def owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the owners of this test count."""
    monkeypatch.setattr(destinations, "_owners", (ref(Owner),))


def owner(**attributes: Any) -> type[Any]:
    made = type("Made", (Owner,), attributes)
    add_owner(made)
    return made


def test_classes_that_say_the_same_are_one_destination() -> None:
    kept = [owner(), owner()]
    assert destinations.destinations() == [DEFAULT]
    del kept


def test_a_subclass_of_a_consumer_is_a_destination() -> None:
    class Consumer(GraphqlWsConsumer):
        group_name_prefix = "Mine"

    assert ("default", Consumer.group_name_prefix) in destinations.destinations()


def test_each_prefix_is_a_destination_of_its_own_in_a_fixed_order() -> None:
    kept = [owner(group_name_prefix="B"), owner(group_name_prefix="A")]
    assert destinations.destinations() == [("default", "A"), ("default", "B"), DEFAULT]
    del kept


def test_an_attribute_that_changes_later_takes_effect() -> None:
    made = owner()
    assert destinations.destinations() == [DEFAULT]
    made.group_name_prefix = "Mine"
    assert destinations.destinations() == [DEFAULT, ("default", "Mine")]
    del made.group_name_prefix
    assert destinations.destinations() == [DEFAULT]


def test_a_class_that_is_gone_is_no_destination() -> None:
    made = owner(group_name_prefix="Mine")
    del made
    gc.collect()
    assert destinations.destinations() == [DEFAULT]
    kept = owner()
    assert len(destinations._owners) == 2
    del kept


def test_a_layer_that_is_not_configured_is_left_out_until_it_is(settings: Any) -> None:
    kept = owner(channel_layer_alias="other")
    assert destinations.destinations() == [DEFAULT]
    settings.CHANNEL_LAYERS = {**settings.CHANNEL_LAYERS, "other": {}}
    assert destinations.destinations() == [DEFAULT, ("other", "GQLWS")]
    del kept


def test_where_no_layer_is_configured_one_is_named_for_the_error(settings: Any) -> None:
    kept = owner(channel_layer_alias="other")
    settings.CHANNEL_LAYERS = {}
    assert destinations.destinations() == [DEFAULT]
    del kept
