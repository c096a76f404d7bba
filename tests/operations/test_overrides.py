"""Whatever a user puts in the place of a hook is called: in a subclass, late, on the instance."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncRequestFactory

import http_schema
from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlView
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.operations.overrides import default, overridden
from http_client import get, post
from news_schema import HELLO, NEWS, consumer_class

Install = Callable[[type[Any], str, Any], type[Any]]

DOCUMENT_METHODS = {"parse_document", "validate_document"}


def in_subclass(cls: type[Any], name: str, hook: Any) -> type[Any]:
    return type("Heir", (cls,), {name: hook})


def set_late(cls: type[Any], name: str, hook: Any) -> type[Any]:
    heir: Any = type("Heir", (cls,), {})
    heir.as_asgi() if hasattr(heir, "as_asgi") else heir.as_view()
    setattr(heir, name, hook)
    return heir  # type: ignore[no-any-return]


def on_instance(cls: type[Any], name: str, hook: Any) -> type[Any]:
    class Heir(cls):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # A class or static method has no instance among its arguments.
            bound = (
                hook.__get__(self, Heir) if inspect.isfunction(hook) else hook.__get__(None, Heir)
            )
            setattr(self, name, bound)

    return Heir


WAYS = pytest.mark.parametrize("install", [in_subclass, set_late, on_instance])


@pytest.fixture
def calls() -> list[str]:
    return []


def recording(cls: type[Any], name: str, calls: list[str]) -> Any:
    """Make a hook that remembers its call, and does what the one that it replaces does."""
    known = inspect.getattr_static(cls, name)
    original = getattr(known, "__func__", known)

    def hook(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return original(*args, **kwargs)

    async def hook_async(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return await original(*args, **kwargs)

    made: Any = hook_async if inspect.iscoroutinefunction(original) else hook
    return type(known)(made) if isinstance(known, (classmethod, staticmethod)) else made


OF_WEBSOCKET = (
    "_format_error",
    "decode_json",
    "encode_json",
    "execute_operation",
    "get_context",
    "get_root_value",
    "on_complete",
    "on_connect",
    "on_disconnect",
    "on_error",
    "on_next",
    "on_operation",
    "on_ping",
    "on_pong",
    "parse_document",
    "receive",
    "receive_json",
    "validate_document",
    "websocket_disconnect",
    "websocket_receive",
)


@WAYS
@pytest.mark.parametrize("name", OF_WEBSOCKET)
async def test_every_hook_of_a_consumer_is_called(
    install: Install, name: str, calls: list[str]
) -> None:
    base = consumer_class(confirm_subscriptions=True)
    cls = install(base, name, recording(base, name, calls))
    socket = AsgiSocket(cls.as_asgi(), NEW)
    await socket.acknowledged()
    socket.start("1", HELLO)
    await socket.heard("complete:1")
    socket.start("2", "{ nothing }")
    await socket.heard("error:2")
    socket.start("3", NEWS)
    await socket.heard("next:3")
    socket.stop("3")
    await socket.heard("complete:3")
    socket.say("ping")
    await socket.heard("pong")
    socket.say("pong")
    socket.say("ping")
    await socket.heard("pong")
    await socket.drop()
    assert name in calls


async def test_a_refusal_that_the_instance_has_is_obeyed() -> None:
    class Guarded(consumer_class()):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.on_operation = self._refuse

        async def _refuse(self, op_id: Any, payload: Any) -> None:
            raise PermissionError("Not you")

    socket = AsgiSocket(Guarded.as_asgi(), NEW)
    await socket.acknowledged()
    socket.start("1", HELLO)
    await socket.heard("error:1")
    assert "Not you" in json.dumps(socket.frames[-1])
    await socket.drop()


OF_HTTP = (
    "_format_error",
    "decode_json",
    "encode_json",
    "execute_operation",
    "get_context",
    "get_root_value",
    "graphiql_config",
    "on_operation",
    "parse_document",
    "process_result",
    "render_graphiql",
    "validate_document",
)


@WAYS
@pytest.mark.parametrize("name", OF_HTTP)
async def test_every_hook_of_an_http_consumer_is_called(
    install: Install, name: str, calls: list[str]
) -> None:
    options = {"schema": http_schema.schema, "graphiql": True}
    base = type("Base", (GraphqlHttpConsumer,), options)
    cls = install(base, name, recording(base, name, calls))
    application = cls.as_asgi()
    await post(application, {"query": "{ hello }"})
    await post(application, {"query": "{ nothing }"})
    await get(application, "text/html")
    assert name in calls


@WAYS
@pytest.mark.parametrize("name", OF_HTTP)
async def test_every_hook_of_a_view_is_called(
    install: Install, name: str, calls: list[str]
) -> None:
    base = type("Base", (GraphqlView,), {"schema": http_schema.schema, "graphiql": True})
    cls = install(base, name, recording(base, name, calls))
    view, requests = cls.as_view(), AsyncRequestFactory()
    for query in ("{ hello }", "{ nothing }"):
        await view(requests.post("/", {"query": query}, content_type="application/json"))
    await view(requests.get("/", headers={"accept": "text/html"}))
    assert name in calls


class Library:
    @default
    def plain(self) -> None:
        pass

    @classmethod
    @default
    def of_class(cls) -> None:
        pass


def test_what_the_library_has_is_not_overridden() -> None:
    heir = type("Heir", (Library,), {})()
    heir.plain = super(type(heir), heir).plain
    assert not any(
        overridden(each, name) for each in (Library(), heir) for name in ("plain", "of_class")
    )


@pytest.mark.parametrize("kind", [lambda method: method, staticmethod, classmethod])
def test_whatever_is_in_its_place_is(kind: Any) -> None:
    assert overridden(type("Heir", (Library,), {"plain": kind(lambda *_: None)})(), "plain")


@pytest.mark.parametrize("name", sorted(DOCUMENT_METHODS))
def test_a_method_whose_result_is_kept_for_all_must_not_belong_to_one(name: str) -> None:
    cls = type("Consumer", (consumer_class(),), {name: lambda self, *_: None})
    with pytest.raises(TypeError, match=f"Consumer.{name} must be a class method or a static"):
        engine_of(cls())


def test_an_own_schema_and_middleware_of_an_instance_are_obeyed() -> None:
    one = consumer_class()
    instance: Any = one()
    instance.middleware = [lambda resolve, root, info, **arguments: "denied"]
    assert engine_of(instance) is not engine_of(one())
    assert engine_of(instance) is engine_of(instance)
