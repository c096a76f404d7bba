"""`manage.py graphql_broadcast`: what is sent, and what is said where nothing can be."""

from __future__ import annotations

import io
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer
from django.core.management import CommandError, call_command

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.management import project as of_commands
from channels_graphql_ws.management.commands.graphql_broadcast import Command
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport

PATH = f"{__name__}.OnCommand"


class OnCommand(Subscription):
    """Tells what a command has sent."""

    text = graphene.String()

    @staticmethod
    def subscribe(root: Any, info: Any) -> list[str]:
        return ["a"]

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"text": str(payload)}


class Nested:
    """Has a class of a name that another has."""

    class OnTwice(OnCommand):
        """One of two."""

        text = graphene.String()


class OnTwice(OnCommand):
    """The other one."""

    text = graphene.String()


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_command = OnCommand.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


class Remote(InMemoryChannelLayer):
    """A layer that connects processes, as far as anybody knows."""

    sent: list[tuple[str, dict[str, Any]]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        # Now and then the last numbers of groups are announced, too.
        if message["type"] == "broadcast":
            self.sent.append((group, message))


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    settings.ASGI_APPLICATION = None
    settings.ROOT_URLCONF = None
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Remote"}}
    Remote.sent.clear()


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(Command(), *arguments, stdout=out)
    return out.getvalue()


def problem(*arguments: str) -> str:
    with pytest.raises(CommandError) as found:
        run(*arguments)
    return str(found.value)


@pytest.mark.parametrize("name", ["OnCommand", PATH, PATH.replace(".OnCommand", ":OnCommand")])
def test_an_event_is_sent_by_the_name_of_its_class(name: str) -> None:
    said = run(name, "--payload", '{"a": 1}')
    assert said == f"The channel layer has it: {PATH}, for all subscribers\n"
    ((_, message),) = Remote.sent
    assert Serializer.deserialize(message["payload"]) == {"a": 1}


def test_an_event_is_sent_to_a_group() -> None:
    assert run("OnCommand", "--group", "a").endswith("for the group 'a'\n")
    ((group, message),) = Remote.sent
    assert Serializer.deserialize(message["payload"]) is None
    run("OnCommand")
    assert Remote.sent[1][0] != group


async def test_subscribers_of_this_process_get_it_from_the_layer_in_memory(settings: Any) -> None:
    memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": memory}
    application = GraphqlWsConsumer.as_asgi(schema=SCHEMA)
    client = GraphqlWsClient(GraphqlWsTransport(application, "/"))
    await client.connect_and_init()
    await client.subscribe("subscription { onCommand { text } }", wait_confirmation=False)
    await sync_to_async(run)("OnCommand", "--payload", '"hello"')
    assert (await client.receive())["data"] == {"onCommand": {"text": "hello"}}
    await client.finalize()


def test_a_layer_in_memory_reaches_nobody_else(settings: Any) -> None:
    memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": memory}
    text = problem("OnCommand")
    assert text.startswith("InMemoryChannelLayer does not cross processes: nobody outside")


def test_a_missing_layer_is_an_error(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    assert problem("OnCommand").startswith("Channel layer is not configured!")


def test_a_class_that_does_not_exist_may_be_another_one() -> None:
    assert problem("OnComand").endswith(f"did you mean {PATH!r}?")
    assert f"did you mean {PATH!r}?" in problem(f"{__name__}.OnComand")
    assert "There are: " in problem("Zzz")


def test_a_name_of_two_classes_needs_its_path() -> None:
    text = problem("OnTwice")
    assert text.startswith("There are 2 Subscription classes 'OnTwice': ")
    assert f"{__name__}.Nested.OnTwice" in text
    assert "has it" in run(f"{__name__}.Nested.OnTwice")


def test_what_is_not_a_subscription_is_refused() -> None:
    assert "is not a Subscription class" in problem(f"{__name__}.Query")


def test_a_path_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_commands, "subscription_classes", list)
    assert "has it" in run(PATH)
    assert "None was imported" in problem("Zzz")


@pytest.mark.parametrize("path", ["...", "a..b", ".OnCommand"])
def test_what_is_no_path_is_refused(path: str) -> None:
    assert f"There is no Subscription class {path!r}" in problem(path)


def test_a_payload_that_is_nested_too_deeply_is_refused() -> None:
    text = problem("OnCommand", "--payload", "[" * 100_000)
    assert text.startswith("--payload is not JSON: ")
    assert len(text) < 500


def test_a_payload_that_is_not_json_is_refused() -> None:
    text = problem("OnCommand", "--payload", "hello")
    assert text.startswith("--payload is not JSON: ")
    assert "a text needs quotes of its own" in text
