"""What can be imported from where, and how it is called: a promise to all callers."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args, get_type_hints

import graphene
import pytest
from asgiref.sync import iscoroutinefunction
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.views import View

import channels_graphql_ws
from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlView,
    GraphqlWsConsumer,
    dict_as_object,
    exceptions,
    graphql_ws_consumer,
    serializer,
    testing,
)
from channels_graphql_ws.client import aiohttp_transport, client, transport
from channels_graphql_ws.execution import context
from channels_graphql_ws.operations.defaults import settle
from channels_graphql_ws.operations.option_values import option_names
from channels_graphql_ws.operations.overrides import is_default
from channels_graphql_ws.spelling import unknown_name
from channels_graphql_ws.subscription import declaration as subscription
from channels_graphql_ws.websocket import consumer
from support import GUARD

REQUIRED = inspect.Parameter.empty
BY_KEYWORD_TOO = inspect.Parameter.POSITIONAL_OR_KEYWORD
BY_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


def _is_upper_then_name(name: str) -> tuple[bool, str]:
    """Constants first, as ruff sorts `__all__`."""
    return (not name.isupper(), name)


@pytest.mark.parametrize("module", [channels_graphql_ws, testing])
def test_the_listed_names_are_sorted_and_each_is_there(module: ModuleType):
    listed: list[str] = module.__all__
    assert listed == sorted(set(listed), key=_is_upper_then_name)
    assert [name for name in listed if not hasattr(module, name)] == []


def _imported_for_type_checkers() -> dict[str, str]:
    """Return the home of each name that the package's top imports under TYPE_CHECKING."""
    tree = ast.parse(inspect.getsource(channels_graphql_ws))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module).removeprefix("channels_graphql_ws.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_are_told_of_each_listed_name_and_where_it_really_is():
    homes = _imported_for_type_checkers()
    assert sorted(homes) == sorted(channels_graphql_ws.__all__)
    assert homes == channels_graphql_ws._HOMES


def test_no_name_is_that_of_another_module_which_would_take_its_place_when_it_is_imported():
    folder = Path(str(channels_graphql_ws.__file__)).parent
    modules = {each.stem for each in folder.iterdir()}
    assert modules.isdisjoint(channels_graphql_ws.__all__)


def test_dir_names_everything_that_is_listed_and_the_modules_of_the_predecessor():
    expected = {*channels_graphql_ws.__all__, "client", "transport", "serializer", "subscription"}
    assert expected <= set(dir(channels_graphql_ws))


def test_a_name_that_does_not_exist_is_an_attribute_error_as_of_any_module():
    with pytest.raises(AttributeError, match="'channels_graphql_ws' has no attribute 'Subscrip'"):
        _ = channels_graphql_ws.Subscrip  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("package", "name", "meant"),
    [
        ("channels_graphql_ws", "GraphQLWSConsumer", "GraphqlWsConsumer"),
        ("channels_graphql_ws", "GraphqlConsumer", "GraphqlWsConsumer"),
        ("channels_graphql_ws", "Subscriptions", "Subscription"),
        ("channels_graphql_ws.testing", "GraphQLHTTPClient", "GraphqlHttpClient"),
    ],
)
def test_a_misspelt_name_says_what_may_be_meant(package: str, name: str, meant: str):
    with pytest.raises(ImportError) as caught:
        exec(f"from {package} import {name}", {})  # noqa: S102 (an import of ours)
    expected = f"cannot import name {name!r} from {package!r}, did you mean {meant!r}?"
    assert str(caught.value) == expected
    with pytest.raises(AttributeError, match=f"did you mean {meant!r}") as asked:
        getattr(sys.modules[package], name)
    assert not isinstance(asked.value, ImportError)


@pytest.mark.parametrize("name", ["_Subscription", "nothing_of_the_kind"])
def test_nothing_is_guessed_where_nothing_is_like_it(name: str):
    assert not hasattr(channels_graphql_ws, name)
    with pytest.raises(ImportError, match="cannot import name"):
        exec(f"from channels_graphql_ws import {name}", {})  # noqa: S102 (an import of ours)


def test_modules_are_imported_though_they_are_called_like_a_name():
    for each in pkgutil.iter_modules(channels_graphql_ws.__path__):
        assert not spelled_wrong(each.name)


def spelled_wrong(module: str) -> bool:
    error = unknown_name("channels_graphql_ws", module, channels_graphql_ws.__all__)
    return "did you mean" in str(error)


def test_the_version_is_that_of_the_distribution():
    assert channels_graphql_ws.__version__ == version("channels-graphql-ws")


PUBLIC_CLASSES = (
    channels_graphql_ws.GraphqlHttpConsumer,
    channels_graphql_ws.GraphqlLifespan,
    channels_graphql_ws.GraphqlProtocolTypeRouter,
    channels_graphql_ws.GraphqlView,
    channels_graphql_ws.GraphqlWsClient,
    channels_graphql_ws.GraphqlWsConsumer,
    channels_graphql_ws.GraphqlWsTransportAiohttp,
    channels_graphql_ws.OperationContext,
    channels_graphql_ws.Subscription,
)


def _classes_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes_in(argument)


@pytest.mark.parametrize("cls", PUBLIC_CLASSES)
def test_every_class_in_a_signature_that_users_override_or_call_is_exported(cls: type):
    named = {
        each.__name__
        for name, method in inspect.getmembers(cls, callable)
        if not name.startswith("_")
        and (getattr(method, "__module__", None) or "").startswith("channels_graphql_ws.")
        for annotation in inspect.get_annotations(
            inspect.unwrap(getattr(method, "__func__", method)), eval_str=True
        ).values()
        for each in _classes_in(annotation)
        if each.__module__.startswith("channels_graphql_ws.")
    }
    assert named <= set(channels_graphql_ws.__all__)


def test_everything_for_tests_is_listed():
    defined = {
        name
        for name, value in inspect.getmembers(testing, inspect.isclass)
        if value.__module__.startswith(testing.__name__)
    }
    functions = {name for name, _ in inspect.getmembers(testing, inspect.isfunction)}
    functions.remove("__getattr__")
    assert defined | functions == set(testing.__all__)


def test_every_error_of_broadcasts_and_of_the_client_can_be_imported_from_the_package():
    errors = {
        name
        for name, value in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(value, exceptions.GraphqlWsError)
        # Those two never leave the server's side of a connection.
        and not issubclass(value, exceptions.InvalidMessageError)
    }
    assert errors <= set(channels_graphql_ws.__all__)


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("GraphqlWsClient", client.GraphqlWsClient),
        ("GraphqlWsConsumer", consumer.GraphqlWsConsumer),
        ("GraphqlWsResponseError", exceptions.GraphqlWsResponseError),
        ("GraphqlWsTransport", transport.GraphqlWsTransport),
        ("GraphqlWsTransportAiohttp", aiohttp_transport.GraphqlWsTransportAiohttp),
        ("Subscription", subscription.Subscription),
        ("client.GraphqlWsClient", client.GraphqlWsClient),
        ("client.GraphqlWsResponseError", exceptions.GraphqlWsResponseError),
        ("dict_as_object.DictAsObject", context.DictAsObject),
        ("graphql_ws_consumer.GraphqlWsConsumer", consumer.GraphqlWsConsumer),
        ("serializer.Serializer", serializer.Serializer),
        ("subscription.Subscription", subscription.Subscription),
        ("subscription.SubscriptionOptions", subscription.SubscriptionOptions),
        ("testing.GraphqlWsClient", testing.GraphqlWsClient),
        ("testing.GraphqlWsTransport", testing.GraphqlWsTransport),
        ("transport.GraphqlWsTransport", transport.GraphqlWsTransport),
        (
            "transport.GraphqlWsTransportAiohttp",
            aiohttp_transport.GraphqlWsTransportAiohttp,
        ),
    ],
)
def test_what_users_import_has_kept_its_place(path: str, same: type):
    module, _, name = f"channels_graphql_ws.{path}".rpartition(".")
    assert getattr(importlib.import_module(module), name) is same


def test_the_aliases_list_what_they_are_there_for():
    assert graphql_ws_consumer.__all__ == ["GRAPHQL_WS_SUBPROTOCOL", "GraphqlWsConsumer"]
    assert graphql_ws_consumer.GRAPHQL_WS_SUBPROTOCOL == "graphql-ws"
    assert dict_as_object.__all__ == ["DictAsObject"]


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        (consumer.GraphqlWsConsumer, AsyncJsonWebsocketConsumer),
        (subscription.Subscription, graphene.ObjectType),
        (testing.GraphqlWsClient, client.GraphqlWsClient),
        (testing.GraphqlWsTransport, transport.GraphqlWsTransport),
        (aiohttp_transport.GraphqlWsTransportAiohttp, transport.GraphqlWsTransport),
        (exceptions.PayloadTypeError, TypeError),
        (exceptions.PayloadDecodeError, ValueError),
        (transport.ConnectionRejectedError, RuntimeError),
        (transport.SubprotocolMismatchError, RuntimeError),
    ],
)
def test_what_users_check_with_isinstance_has_kept_its_base(ours: type, base: type):
    assert issubclass(ours, base)


#
# Written down as callers know them. Ours may take more, but nothing more that is required.


class _Consumer:
    async def connect(self): ...
    async def disconnect(self, code): ...
    async def receive_json(self, content): ...
    async def on_connect(self, payload): ...
    async def on_operation(self, op_id, payload): ...
    async def on_disconnect(self, code): ...
    @staticmethod
    def _format_error(error): ...


class _Subscription:
    @classmethod
    def broadcast(cls, *, group=None, payload=None): ...
    @classmethod
    async def broadcast_async(cls, *, group=None, payload=None): ...
    @classmethod
    def broadcast_sync(cls, *, group=None, payload=None): ...
    @classmethod
    def unsubscribe(cls, *, group=None): ...
    @classmethod
    async def unsubscribe_async(cls, *, group=None): ...
    @classmethod
    def unsubscribe_sync(cls, *, group=None): ...
    @classmethod
    def Field(  # noqa: N802
        cls, name=None, description=None, deprecation_reason=None, required=False
    ): ...
    @classmethod
    def __init_subclass_with_meta__(
        cls,
        *,
        subscribe=None,
        publish=None,
        unsubscribed=None,
        output=None,
        arguments=None,
        _meta=None,
        **options,
    ): ...


class _Client:
    def __init__(self, transport, subprotocol="graphql-transport-ws"): ...
    async def connect_and_init(self): ...
    async def start(
        self,
        query,
        *,
        variables=None,
        operation_name=None,
        msg_id=client.GraphqlWsClient.AUTO,
    ): ...
    async def complete(self, op_id): ...
    async def receive(
        self, *, wait_id=None, assert_id=None, assert_type=None, raw_response=False
    ): ...
    async def receive_next(self, op_id): ...
    async def receive_complete(self, op_id): ...
    async def execute(self, query, variables=None): ...
    async def subscribe(self, query, *, variables=None, wait_confirmation=True): ...
    async def wait_response(self, response_checker, timeout=None): ...
    async def wait_disconnect(self, timeout=None): ...
    async def finalize(self): ...


class _Transport:
    async def connect(self, timeout=None): ...
    async def send(self, message): ...
    async def receive(self, timeout=None): ...
    async def disconnect(self, timeout=None): ...
    async def wait_disconnect(self, timeout=None): ...


class _TransportAiohttp(_Transport):
    def __init__(self, url, cookies=None, headers=None): ...
    async def connect(self, timeout=None, subprotocol="graphql-transport-ws"): ...


class _TestingTransport(_Transport):
    def __init__(
        self, application, path, communicator_kwds=None, subprotocol="graphql-transport-ws"
    ): ...


class _TestingClient(_Client):
    # `None` stands for the two attributes RECEIVE_NOTHING_….
    async def assert_no_messages(self, error_message=None, attempts=None, interval=None): ...
    async def connect_and_init(self, connect_only=False): ...
    async def send_raw_message(self, message): ...
    async def wait_disconnect(self, timeout=None, assert_code=None): ...
    async def receive_error(self, msg_id): ...


class _ResponseError:
    def __init__(self, response, message=None): ...


class _DictAsObject:
    def __init__(self, dictionary): ...
    def _asdict(self): ...


class _Serializer:
    @staticmethod
    def serialize(data): ...
    @staticmethod
    def deserialize(data): ...


PROMISES = [
    (_Consumer, consumer.GraphqlWsConsumer),
    (_Subscription, subscription.Subscription),
    (_Client, client.GraphqlWsClient),
    (_Transport, transport.GraphqlWsTransport),
    (_TransportAiohttp, aiohttp_transport.GraphqlWsTransportAiohttp),
    (_TestingTransport, testing.GraphqlWsTransport),
    (_TestingClient, testing.GraphqlWsClient),
    (_ResponseError, exceptions.GraphqlWsResponseError),
    (_DictAsObject, context.DictAsObject),
    (_Serializer, serializer.Serializer),
]


def _methods(promised: type) -> list[str]:
    members = {name: each for cls in promised.__mro__ for name, each in vars(cls).items()}
    kinds = (FunctionType, classmethod, staticmethod)
    return [name for name, each in members.items() if isinstance(each, kinds)]


@pytest.mark.parametrize(
    ("promised", "ours", "name"),
    [
        pytest.param(promised, ours, name, id=f"{ours.__module__}.{ours.__name__}.{name}")
        for promised, ours in PROMISES
        for name in _methods(promised)
    ],
)
def test_a_method_is_called_as_it_always_was(promised: type, ours: type, name: str):
    known, real = getattr(promised, name), getattr(ours, name)
    known_parameters = inspect.signature(known).parameters
    real_parameters = inspect.signature(real).parameters
    for parameter in known_parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        assert parameter.name in real_parameters
        same = real_parameters[parameter.name]
        assert same.default == parameter.default
        assert same.kind in {parameter.kind, BY_KEYWORD_TOO}
    positional = _positional(known_parameters)
    assert _positional(real_parameters)[: len(positional)] == positional
    assert iscoroutinefunction(real) == iscoroutinefunction(known)
    added = [real_parameters[name] for name in real_parameters if name not in known_parameters]
    assert [each.name for each in added if _is_required(each)] == []


def _positional(parameters: Any) -> list[str]:
    return [name for name, each in parameters.items() if each.kind is BY_KEYWORD_TOO]


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is REQUIRED and parameter.kind in {BY_KEYWORD_TOO, BY_KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("strict_ordering", False),
        ("confirm_subscriptions", False),
        ("subscription_confirmation_message", {"data": None, "errors": None}),
        ("warn_operation_timeout", 1),
        ("subscription_notification_queue_limit", 1024),
        ("max_operations_in_flight", 2_000),
        ("max_operations_per_connection", 100),
        ("middleware", None),
        ("subprotocols", ("graphql-transport-ws", "graphql-ws")),
        ("group_name_prefix", "GQLWS"),
    ],
)
def test_a_consumer_behaves_as_it_always_did_unless_it_is_told(name: str, default: Any):
    value = getattr(consumer.GraphqlWsConsumer, name)
    assert (value, type(value)) == (default, type(default))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("send_ping_every", None),
        ("connection_init_wait_timeout", 0),
        ("on_connect_timeout", None),
        ("max_message_size", None),
        ("max_message_size_before_ack", None),
        ("max_ping_size", None),
        ("max_operations_in_flight", None),
        ("max_bytes_in_flight", None),
        ("max_operations_per_connection", None),
        ("max_subscriptions_per_user", None),
        ("max_subscriptions_per_address", None),
        ("max_unsent_bytes", None),
        ("max_unsent_bytes_per_user", None),
        ("max_unsent_bytes_per_address", None),
        ("max_unsent_bytes_per_process", None),
        ("max_queued_bytes", None),
        ("max_messages_per_second", None),
        ("max_connections_per_user", None),
        ("max_connections_per_address", None),
    ],
)
def test_one_word_gives_back_what_a_consumer_always_allowed(name: str, value: Any):
    class Query(graphene.ObjectType):
        ok = graphene.Boolean()

    class Open(consumer.GraphqlWsConsumer):
        schema = graphene.Schema(query=Query)
        safety = "compatible"

    endpoint = Open()
    settle(endpoint)
    assert getattr(endpoint, name) == value


def test_the_schema_of_a_consumer_has_no_default():
    assert "schema" in get_type_hints(consumer.GraphqlWsConsumer)
    assert not hasattr(consumer.GraphqlWsConsumer, "schema")


@pytest.mark.parametrize(
    ("ours", "name", "value"),
    [
        (transport.GraphqlWsTransport, "TIMEOUT", 60.0),
        (aiohttp_transport.GraphqlWsTransportAiohttp, "TIMEOUT", 60.0),
        (testing.GraphqlWsTransport, "TIMEOUT", 30),
        (testing.GraphqlWsClient, "RECEIVE_NOTHING_ATTEMPTS", 10),
        (testing.GraphqlWsClient, "RECEIVE_NOTHING_INTERVAL", 0.1),
        (subscription.Subscription, "notification_queue_limit", None),
        (subscription.Subscription, "SKIP", channels_graphql_ws.SKIP),
    ],
)
def test_an_attribute_has_kept_its_value(ours: type, name: str, value: Any):
    assert getattr(ours, name) == value


@pytest.mark.parametrize("name", ["transport", "connected"])
def test_a_property_of_the_client_can_be_read_only(name: str):
    member = inspect.getattr_static(client.GraphqlWsClient, name)
    assert isinstance(member, property)
    assert member.fset is None


@pytest.mark.parametrize("name", ["arguments", "output", "publish", "subscribe", "unsubscribed"])
def test_the_options_of_a_subscription_are_there_without_being_set(name: str):
    assert getattr(subscription.SubscriptionOptions(object), name) is None


def _run(code: str, folder: Path) -> str:
    """Run code in a Python that has no settings and has imported nothing."""
    spec = importlib.util.find_spec("channels_graphql_ws")
    assert spec is not None
    assert spec.origin is not None
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("DJANGO")},
        "PYTHONPATH": str(Path(spec.origin).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * GUARD,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


_OF_DJANGO = ("admin", "models")
# An app that is not installed: its modules need the apps, but for the first that Django imports.
_OF_OUTBOX = f"{channels_graphql_ws.__name__}.outbox."


def _modules() -> list[str]:
    package = channels_graphql_ws
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    # Django imports these two itself, when the apps are ready.
    names = {info.name for info in found} - {f"{package.__name__}.{name}" for name in _OF_DJANGO}
    names -= {name for name in names if name.startswith(_OF_OUTBOX)} - {f"{_OF_OUTBOX}apps"}
    if importlib.util.find_spec("opentelemetry") is None:
        names.discard("channels_graphql_ws.otel")
    return sorted(names)


def test_the_package_is_imported_without_settings_and_without_what_only_some_need(
    tmp_path: Path,
):
    code = (
        "import sys; from channels_graphql_ws import *; from django.conf import settings;"
        "optional = ['aiohttp', 'channels_graphql_ws.testing', 'daphne', 'uvicorn'];"
        "print(settings.configured, [name for name in optional if name in sys.modules])"
    )
    assert _run(code, tmp_path) == "False []"


def test_each_module_is_imported_without_settings_and_without_daphne(tmp_path: Path):
    code = (
        f"import sys, {', '.join(_modules())}; from django.conf import settings;"
        "print(settings.configured, 'daphne' in sys.modules)"
    )
    assert _run(code, tmp_path) == "False False"


@pytest.mark.parametrize("name", ["client", "exceptions", "serializer", "testing", "transport"])
def test_a_module_can_be_the_first_to_be_imported(name: str, tmp_path: Path):
    assert _run(f"from channels_graphql_ws.{name} import *; print('fine')", tmp_path) == "fine"


_SERVER_SIDE = {"asgiref", "channels", "django", "graphene", "graphql"}


@pytest.mark.parametrize(
    "statement",
    [
        "import channels_graphql_ws",
        "from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp",
        "from channels_graphql_ws import ConnectionClosedError, GraphqlWsResponseError",
        "from channels_graphql_ws.client import GraphqlWsClient, GraphqlWsResponseError",
        "from channels_graphql_ws.transport import GraphqlWsTransportAiohttp",
        "import channels_graphql_ws; channels_graphql_ws.client.GraphqlWsClient",
    ],
)
def test_a_program_that_needs_the_client_loads_nothing_of_the_server(
    statement: str, tmp_path: Path
):
    code = (
        f"import sys\n{statement}\n"
        f"print(sorted({_SERVER_SIDE!r} & set(sys.modules)), 'aiohttp' in sys.modules)"
    )
    assert _run(code, tmp_path) == "[] False"


@pytest.mark.parametrize(
    "name",
    [
        "client",
        "dict_as_object",
        "graphql_ws_consumer",
        "scope_as_context",
        "serializer",
        "subscription",
        "transport",
    ],
)
def test_the_predecessors_modules_are_attributes_of_the_package(name: str, tmp_path: Path):
    code = f"import channels_graphql_ws as package; print(package.{name}.__name__)"
    assert _run(code, tmp_path) == f"channels_graphql_ws.{name}"


USERS = {
    "channel_listen",
    "channel_name",
    "connection_params",
    "listen_to_channel",
    "renew",
    "scope",
}
"""What `GraphqlWsConsumer` offers besides options, hooks and what Channels has."""


@pytest.mark.parametrize(
    ("endpoint", "framework", "more"),
    [
        (GraphqlWsConsumer, AsyncJsonWebsocketConsumer, USERS),
        (GraphqlHttpConsumer, View, {"as_asgi"}),
        (GraphqlView, View, {"delete", "get", "post", "put"}),
    ],
)
def test_the_names_of_a_consumer_belong_to_its_users(endpoint, framework, more):
    public = {name for name in dir(endpoint) if not name.startswith("_")} - set(dir(framework))
    hooks = {name for name in public if is_default(getattr(endpoint, name))}
    assert public - option_names(endpoint) - hooks == more
