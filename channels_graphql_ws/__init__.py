"""Live GraphQL data for Django: subscriptions over WebSocket and HTTP on Channels.

Names are imported when they are first used, so that a program that only needs the client
loads neither Django nor Channels nor Graphene.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp
    from channels_graphql_ws.client.client import GraphqlWsClient
    from channels_graphql_ws.client.errors import (
        ConnectionRejectedError,
        ErrorDetails,
        GraphqlOperationError,
        GraphqlWsTimeoutError,
        MessagesLostError,
        MutationInterruptedError,
        NoDataError,
        ResultTypeError,
        SubprotocolMismatchError,
    )
    from channels_graphql_ws.client.http_transport import GraphqlHttpTransport
    from channels_graphql_ws.client.listeners import ConnectionEvent, ConnectionState
    from channels_graphql_ws.client.operations import Gap, SubscriptionEvent
    from channels_graphql_ws.client.results import GraphqlResult
    from channels_graphql_ws.client.retry import Retry
    from channels_graphql_ws.client.sse_transport import GraphqlSseTransport
    from channels_graphql_ws.client.subscriptions import ClientSubscription
    from channels_graphql_ws.client.sync import GraphqlWsClientSync, SyncSubscription
    from channels_graphql_ws.client.transport import GraphqlWsTransport
    from channels_graphql_ws.client.variables import FileUpload
    from channels_graphql_ws.exceptions import (
        ChannelLayerError,
        ChannelLayerUnavailableError,
        ConnectionClosedError,
        ConnectionRejectionError,
        GraphqlWsClientError,
        GraphqlWsError,
        GraphqlWsResponseError,
        PayloadDecodeError,
        PayloadError,
        PayloadTypeError,
        RemoteProtocolError,
        SharedContextError,
    )
    from channels_graphql_ws.execution.context import OperationContext
    from channels_graphql_ws.execution.masking import is_unexpected
    from channels_graphql_ws.execution.permissions import BasePermission
    from channels_graphql_ws.execution.protected_fields import ProtectedField, protected
    from channels_graphql_ws.graphiql import GraphiqlConfig
    from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
    from channels_graphql_ws.http.request import HttpRequest
    from channels_graphql_ws.http.uploads import Upload
    from channels_graphql_ws.http.view import GraphqlView, SyncGraphqlView
    from channels_graphql_ws.operations.keywords import (
        HttpKeywords,
        RouterKeywords,
        WebSocketKeywords,
    )
    from channels_graphql_ws.operations.revocation import disconnect_session, disconnect_user
    from channels_graphql_ws.process_statistics import (
        EventStatistics,
        LatencyStatistics,
        OperationStatistics,
        Statistics,
        statistics,
    )
    from channels_graphql_ws.pubsub.hub import HubStatistics
    from channels_graphql_ws.pubsub.layer_watch import LayerStatistics
    from channels_graphql_ws.pubsub.membership import MembershipStatistics
    from channels_graphql_ws.pubsub.pump import PublisherStatistics
    from channels_graphql_ws.routing import GraphqlProtocolTypeRouter
    from channels_graphql_ws.serializer import register
    from channels_graphql_ws.shutdown import GraphqlLifespan, shut_down, shut_down_on_signals
    from channels_graphql_ws.subscription.declaration import GapPolicy, QueuePolicy, Subscription
    from channels_graphql_ws.subscription.durable import OutboxStatistics
    from channels_graphql_ws.subscription.field import COMPLETE, SKIP, SubscriptionField
    from channels_graphql_ws.subscription.resumable import resumable
    from channels_graphql_ws.subscription.runs import RunStatistics
    from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer
    from channels_graphql_ws.websocket.messages import CloseCode
    from channels_graphql_ws.websocket.statistics import WebSocketStatistics

__all__ = [
    "COMPLETE",
    "SKIP",
    "BasePermission",
    "ChannelLayerError",
    "ChannelLayerUnavailableError",
    "ClientSubscription",
    "CloseCode",
    "ConnectionClosedError",
    "ConnectionEvent",
    "ConnectionRejectedError",
    "ConnectionRejectionError",
    "ConnectionState",
    "ErrorDetails",
    "EventStatistics",
    "FileUpload",
    "Gap",
    "GapPolicy",
    "GraphiqlConfig",
    "GraphqlHttpConsumer",
    "GraphqlHttpTransport",
    "GraphqlLifespan",
    "GraphqlOperationError",
    "GraphqlProtocolTypeRouter",
    "GraphqlResult",
    "GraphqlSseTransport",
    "GraphqlView",
    "GraphqlWsClient",
    "GraphqlWsClientError",
    "GraphqlWsClientSync",
    "GraphqlWsConsumer",
    "GraphqlWsError",
    "GraphqlWsResponseError",
    "GraphqlWsTimeoutError",
    "GraphqlWsTransport",
    "GraphqlWsTransportAiohttp",
    "HttpKeywords",
    "HttpRequest",
    "HubStatistics",
    "LatencyStatistics",
    "LayerStatistics",
    "MembershipStatistics",
    "MessagesLostError",
    "MutationInterruptedError",
    "NoDataError",
    "OperationContext",
    "OperationStatistics",
    "OutboxStatistics",
    "PayloadDecodeError",
    "PayloadError",
    "PayloadTypeError",
    "ProtectedField",
    "PublisherStatistics",
    "QueuePolicy",
    "RemoteProtocolError",
    "ResultTypeError",
    "Retry",
    "RouterKeywords",
    "RunStatistics",
    "SharedContextError",
    "Statistics",
    "SubprotocolMismatchError",
    "Subscription",
    "SubscriptionEvent",
    "SubscriptionField",
    "SyncGraphqlView",
    "SyncSubscription",
    "Upload",
    "WebSocketKeywords",
    "WebSocketStatistics",
    "disconnect_session",
    "disconnect_user",
    "is_unexpected",
    "protected",
    "register",
    "resumable",
    "shut_down",
    "shut_down_on_signals",
    "statistics",
]

# Where each name is defined. A test compares it with the imports for type checkers above.
_HOMES = {
    "BasePermission": "execution.permissions",
    "COMPLETE": "subscription.field",
    "ChannelLayerError": "exceptions",
    "ChannelLayerUnavailableError": "exceptions",
    "ClientSubscription": "client.subscriptions",
    "CloseCode": "websocket.messages",
    "ConnectionClosedError": "exceptions",
    "ConnectionEvent": "client.listeners",
    "ConnectionRejectedError": "client.errors",
    "ConnectionRejectionError": "exceptions",
    "ConnectionState": "client.listeners",
    "ErrorDetails": "client.errors",
    "EventStatistics": "process_statistics",
    "FileUpload": "client.variables",
    "Gap": "client.operations",
    "GapPolicy": "subscription.declaration",
    "GraphiqlConfig": "graphiql",
    "GraphqlHttpConsumer": "http.consumer",
    "GraphqlHttpTransport": "client.http_transport",
    "GraphqlLifespan": "shutdown",
    "GraphqlOperationError": "client.errors",
    "GraphqlProtocolTypeRouter": "routing",
    "GraphqlResult": "client.results",
    "GraphqlSseTransport": "client.sse_transport",
    "GraphqlView": "http.view",
    "GraphqlWsClient": "client.client",
    "GraphqlWsClientError": "exceptions",
    "GraphqlWsClientSync": "client.sync",
    "GraphqlWsConsumer": "websocket.consumer",
    "GraphqlWsError": "exceptions",
    "GraphqlWsResponseError": "exceptions",
    "GraphqlWsTimeoutError": "client.errors",
    "GraphqlWsTransport": "client.transport",
    "GraphqlWsTransportAiohttp": "client.aiohttp_transport",
    "HttpKeywords": "operations.keywords",
    "HttpRequest": "http.request",
    "HubStatistics": "pubsub.hub",
    "LatencyStatistics": "process_statistics",
    "LayerStatistics": "pubsub.layer_watch",
    "MembershipStatistics": "pubsub.membership",
    "MessagesLostError": "client.errors",
    "MutationInterruptedError": "client.errors",
    "NoDataError": "client.errors",
    "OperationContext": "execution.context",
    "OperationStatistics": "process_statistics",
    "OutboxStatistics": "subscription.durable",
    "PayloadDecodeError": "exceptions",
    "PayloadError": "exceptions",
    "PayloadTypeError": "exceptions",
    "ProtectedField": "execution.protected_fields",
    "PublisherStatistics": "pubsub.pump",
    "RunStatistics": "subscription.runs",
    "QueuePolicy": "subscription.declaration",
    "RemoteProtocolError": "exceptions",
    "ResultTypeError": "client.errors",
    "Retry": "client.retry",
    "RouterKeywords": "operations.keywords",
    "SKIP": "subscription.field",
    "SharedContextError": "exceptions",
    "Statistics": "process_statistics",
    "SubprotocolMismatchError": "client.errors",
    "Subscription": "subscription.declaration",
    "SubscriptionEvent": "client.operations",
    "SubscriptionField": "subscription.field",
    "SyncGraphqlView": "http.view",
    "SyncSubscription": "client.sync",
    "Upload": "http.uploads",
    "disconnect_session": "operations.revocation",
    "disconnect_user": "operations.revocation",
    "WebSocketKeywords": "operations.keywords",
    "WebSocketStatistics": "websocket.statistics",
    "is_unexpected": "execution.masking",
    "protected": "execution.protected_fields",
    "register": "serializer",
    "resumable": "subscription.resumable",
    "shut_down": "shutdown",
    "shut_down_on_signals": "shutdown",
    "statistics": "process_statistics",
}

# The predecessor's modules, which `import channels_graphql_ws` alone makes reachable.
_MODULES = frozenset(
    {
        "client",
        "dict_as_object",
        "exceptions",
        "graphql_ws_consumer",
        "scope_as_context",
        "serializer",
        "subscription",
        "transport",
    }
)


__version__: str
"""The version of the installed distribution, as in `pip show channels-graphql-ws`."""

if not TYPE_CHECKING:  # pragma: no branch (type checkers must still report a misspelt name)

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name == "__version__":
            value = version("channels-graphql-ws")
        elif name in _HOMES:
            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        else:
            spelling = import_module(f"{__name__}.spelling")
            raise spelling.unknown_name(__name__, name, __all__)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
