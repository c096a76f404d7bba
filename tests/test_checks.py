"""The system checks: what they find, and that they find nothing in a project that is right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.core import RedisChannelLayer
from django.apps import apps
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.checks import Tags, run_checks
from django.test import override_settings

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
    checks,
)
from channels_graphql_ws.apps import ChannelsGraphqlWsConfig
from channels_graphql_ws.operations import mounting
from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.redis_cluster import refuses_cluster
from channels_graphql_ws.subscription.durable import installed
from news_schema import consumer_class, schema
from outbox_schema import OnOrder

MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
GOOD: dict[str, Any] = {"MASK_ERRORS": True, "SEND_PING_EVERY": 25}


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Any]:
    """A project with nothing mounted yet, and nothing wrong."""
    empty: WeakSet[type[Any]] = WeakSet()
    monkeypatch.setattr(mounting, "mounted", empty)
    monkeypatch.setattr(checks, "mounted", empty)
    monkeypatch.setattr(checks, "get_commands", lambda: {"runserver": "daphne"})
    module: Any = ModuleType("asgi_of_a_test")
    module.application = None
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.ASGI_APPLICATION = f"{module.__name__}.application"
    settings.CHANNELS_GRAPHQL_WS = GOOD
    yield module
    # Its classes stay known while it is there.
    module.application = None


def found(**options: Any) -> list[str]:
    """The ids of what is found."""
    run = checks.check_deployment if options else checks.check_project
    ids = [each.id for each in run(None)]
    return [str(each).removeprefix("channels_graphql_ws.") for each in ids]


def hints() -> list[str]:
    """What the deployment checks advise."""
    return [str(each.hint) for each in checks.check_deployment(None)]


def test_a_project_that_is_right_passes(project: Any, settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Remote"}}
    project.application = GraphqlProtocolTypeRouter(schema, shutdown_timeout=None)
    assert found() == []
    assert found(deploy=True) == []


@pytest.mark.parametrize(
    "config", [{"BACKEND": "channels.layers.Memory"}, {"BACKEND": "no_such.Layer"}, {}]
)
def test_a_layer_that_cannot_be_made_is_an_error_that_says_why(settings, config) -> None:
    settings.CHANNEL_LAYERS = {"default": config, "of another app": config}
    (error,) = checks.check_project(None)
    assert error.id == "channels_graphql_ws.E004"
    assert str(error.msg).startswith("CHANNEL_LAYERS['default'] cannot be made: ")
    assert found(deploy=True) == []
    assert "pip install" in str(error.hint)


def test_a_misspelt_setting_is_named(settings) -> None:
    settings.CHANNEL_LAYERS = {"default": MEMORY}
    del settings.CHANNELS_GRAPHQL_WS
    assert found() == []
    settings.CHANNEL_GRAPHQL_WS = {"MASK_ERRORS": True}
    (warning,) = checks.check_project(None)
    assert warning.id == "channels_graphql_ws.W007"
    assert warning.msg == (
        "The setting CHANNEL_GRAPHQL_WS has no effect: did you mean CHANNELS_GRAPHQL_WS?"
    )


class Remote:
    """Stands for a layer that connects processes."""


# The checks of models ask the database what it can do.
@pytest.mark.django_db(databases="__all__")
def test_the_app_registers_them() -> None:
    app = ChannelsGraphqlWsConfig("channels_graphql_ws", sys.modules["channels_graphql_ws"])
    app.ready()
    with override_settings(CHANNELS_GRAPHQL_WS={"MAX_DEPHT": 1}):
        ids = [each.id for each in run_checks()]
    assert "channels_graphql_ws.E001" in ids
    with override_settings(CHANNELS_GRAPHQL_WS={}):
        ids = [
            each.id for each in run_checks(tags=[Tags.security], include_deployment_checks=True)
        ]
    assert "channels_graphql_ws.W010" in ids
    assert not apps.is_installed("channels_graphql_ws")


@pytest.mark.parametrize("value", [{"MAX_DEPHT": 1}, []])
def test_a_mistake_in_the_setting_is_an_error(settings: Any, value: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = value
    assert found() == ["E001"]


def test_the_deployment_is_not_looked_at_by_wrong_settings(settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"MAX_DEPHT": 1}
    assert found(deploy=True) == []


def test_the_predecessor_beside_us_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "version", lambda name: "1.0.0rc7")
    assert found() == ["E002"]


def test_an_application_that_is_not_named_or_cannot_be_imported(settings: Any) -> None:
    settings.ASGI_APPLICATION = None
    assert found() == ["W001"]
    settings.ASGI_APPLICATION = "no.such.application"
    assert found() == ["W002"]


def test_the_runserver_of_django_serves_no_websockets(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(checks, "get_commands", lambda: {"runserver": "django.core"})
    assert found() == []
    settings.DEBUG = True
    assert found() == ["W003"]


def test_a_process_that_only_checks_does_not_count_as_one_that_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local._process, "serves", False)
    monkeypatch.setattr(checks, "get_default_application", local.serving)
    assert found() == []
    assert not local.is_serving()
    monkeypatch.setattr(sys, "argv", ["manage.py", "runserver"])
    assert found() == []
    assert local.is_serving()
    assert found() == []
    assert local.is_serving()


def test_a_layer_that_is_missing(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    assert found() == ["W004"]


def test_a_class_that_differs_from_the_setting(settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {**GOOD, "GROUP_NAME_PREFIX": "SHOP"}
    other = type("Other", (consumer_class(),), {"group_name_prefix": "ELSE"})
    application = other.as_asgi()
    assert found() == ["W005"]
    del application


def test_a_consumer_without_a_schema() -> None:
    class Bare(GraphqlWsConsumer):
        pass

    class Late(GraphqlWsConsumer):
        def __init__(self) -> None:
            self.schema = schema
            super().__init__()

    applications = [Bare.as_asgi(), Late.as_asgi(), GraphqlHttpConsumer.as_asgi(schema=schema)]
    assert found() == ["W006"]
    del applications


def test_an_in_memory_layer_with_several_processes(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    assert found(deploy=True) == ["W010"]
    settings.DEBUG = True
    assert found(deploy=True) == []
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert found(deploy=True) == ["W010"]


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        ({}, ["W011", "W016"]),
        ({"capacity": 10_000}, ["W016"]),
        ({"capacity": 10_000, "group_expiry": 10}, ["W016"]),
        ({"capacity": 10_000, "group_expiry": 300}, []),
    ],
)
def test_a_core_redis_layer_that_holds_little_or_keeps_the_dead(
    settings: Any, config: dict[str, Any], ids: list[str]
) -> None:
    backend = "channels_redis.core.RedisChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": config}}
    assert found(deploy=True) == ids


class InCluster(RedisChannelLayer):
    """A core layer whose Redis answers a check with `answer`, or raises it."""

    answer: Any = None

    def connection(self, index: int) -> Any:
        async def info(section: str) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer[section]

        async def disconnect() -> None: ...

        return SimpleNamespace(info=info, connection_pool=SimpleNamespace(disconnect=disconnect))


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ({"cluster": {"cluster_enabled": 1}}, ["E010"]),
        ({"cluster": {"cluster_enabled": 0}}, []),
        (OSError("out of reach"), []),
    ],
)
def test_a_core_redis_layer_on_a_cluster(
    settings: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, ids: list[str]
) -> None:
    monkeypatch.setattr(InCluster, "answer", answer)
    options = {"capacity": 10_000, "group_expiry": 300}
    config = {"BACKEND": f"{__name__}.InCluster", "CONFIG": options}
    settings.CHANNEL_LAYERS = {"default": config}
    assert found(deploy=True) == ids


def test_a_layer_that_is_not_redis_is_not_asked() -> None:
    assert not refuses_cluster(InMemoryChannelLayer())


def test_what_is_open_to_strangers(settings: Any) -> None:
    settings.DEBUG = True
    settings.CHANNELS_GRAPHQL_WS = {}
    application = GraphqlProtocolTypeRouter(
        schema,
        shutdown_timeout=None,
        graphiql=True,
        introspection=True,
        mask_errors=False,
        allowed_origins=["*"],
        send_ping_every=None,
    )
    of_http, of_websocket = ["W013", "W014", "W018", "W015"], ["W012", "W014", "W018", "W015"]
    assert found(deploy=True) == [*of_http, *of_websocket]
    assert not any("DEBUG = False" in hint for hint in hints())
    del application


def test_a_consumer_that_is_mounted_by_hand_tells_everything_unless_it_is_told_otherwise(
    settings: Any,
) -> None:
    settings.DEBUG = False
    settings.CHANNELS_GRAPHQL_WS = {}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Remote"}}

    class Bare(GraphqlWsConsumer):
        pass

    Bare.schema = schema
    application = Bare.as_asgi()
    assert found(deploy=True) == ["W014", "W018"]
    for settings.DEBUG in (True, False):
        # It does not follow DEBUG, so that is no advice.
        [masking, introspection] = hints()
        assert "Set mask_errors" in masking
        assert "introspection = False" in introspection
    settings.CHANNELS_GRAPHQL_WS = {"INTROSPECTION": False, "MASK_ERRORS": True}
    assert found(deploy=True) == []
    del application


class Gate(LoginRequiredMiddleware):
    """A subclass, as projects have it to let some paths through."""


@pytest.mark.parametrize(
    "path", ["django.contrib.auth.middleware.LoginRequiredMiddleware", f"{__name__}.Gate"]
)
def test_visitors_are_let_in_by_consumers_where_all_have_to_log_in(
    path: str, settings: Any
) -> None:
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "no.such", path]
    view = GraphqlView.as_view(schema=schema)
    router = GraphqlProtocolTypeRouter(schema, shutdown_timeout=None)
    told = [each for each in checks.check_deployment(None) if str(each.id).endswith("W017")]
    assert ["`on_operation`" in str(each.hint) for each in told] == [True, False]
    assert ["`on_connect`" in str(each.hint) for each in told] == [False, True]
    del router, view


def test_consumers_with_a_hook_of_their_own_may_refuse_visitors(settings: Any) -> None:
    settings.MIDDLEWARE = ["django.contrib.auth.middleware.LoginRequiredMiddleware"]

    class Http(GraphqlHttpConsumer):
        def on_operation(self, op_id: Any, payload: Any) -> None: ...

    class WebSocket(GraphqlWsConsumer):
        async def on_connect(self, payload: Any) -> None: ...

    router = GraphqlProtocolTypeRouter(
        schema, http_consumer=Http, websocket_consumer=WebSocket, shutdown_timeout=None
    )
    assert "W017" not in found(deploy=True)
    del router


def test_what_is_mounted_twice_is_told_of_once(settings: Any) -> None:
    settings.DEBUG = False
    settings.CHANNELS_GRAPHQL_WS = {"GRAPHIQL": True}
    views = [GraphqlView.as_view(schema=schema) for _ in range(2)]
    assert found(deploy=True).count("W013") == 1
    [hint] = [hint for hint in hints() if "graphiql" in hint]
    assert "CHANNELS_GRAPHQL_WS['GRAPHIQL']" in hint
    del views


def test_what_only_debug_opens_is_closed_without_it(settings: Any) -> None:
    settings.DEBUG = True
    settings.CHANNELS_GRAPHQL_WS = {}
    application = GraphqlProtocolTypeRouter(schema, shutdown_timeout=None)
    assert {"W013", "W014", "W018"} <= set(found(deploy=True))
    opened = [hint for hint in hints() if "DEBUG = False" in hint]
    assert len(opened) == 5
    settings.DEBUG = False
    assert not {"W013", "W014", "W018"} & set(found(deploy=True))
    del application


def test_what_the_debug_of_the_setting_opens_is_closed_there(settings: Any) -> None:
    settings.DEBUG = False
    settings.CHANNELS_GRAPHQL_WS = {"DEBUG": True}
    application = GraphqlProtocolTypeRouter(schema, shutdown_timeout=None)
    assert {"W013", "W014", "W018"} <= set(found(deploy=True))
    opened = [hint for hint in hints() if "CHANNELS_GRAPHQL_WS['DEBUG']" in hint]
    assert len(opened) == 5
    assert not any("DEBUG = False" in hint for hint in hints())
    settings.CHANNELS_GRAPHQL_WS = {}
    assert not {"W013", "W014", "W018"} & set(found(deploy=True))
    del application


def test_durable_broadcasts_need_an_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OnOrder.broadcast_durable
    assert "E003" not in found()
    monkeypatch.setattr(installed, "outbox", None)
    assert "E003" in found()


def test_a_project_whose_broadcasts_are_durable_needs_an_outbox(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(installed, "outbox", None)
    count = found().count("E003")
    settings.CHANNELS_GRAPHQL_WS = {"BROADCAST_DURABLE": True}
    assert found().count("E003") == count + 1
