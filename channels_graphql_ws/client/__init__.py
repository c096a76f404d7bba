"""The client for any GraphQL server; the predecessor's module of this name."""

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
from channels_graphql_ws.client.retry import NEVER, Retry, full_jitter, is_retriable
from channels_graphql_ws.client.sse_transport import GraphqlSseTransport
from channels_graphql_ws.client.subscriptions import ClientSubscription
from channels_graphql_ws.client.sync import GraphqlWsClientSync, SyncSubscription
from channels_graphql_ws.client.transport import GraphqlWsTransport
from channels_graphql_ws.client.variables import FileUpload
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)

__all__ = [
    "NEVER",
    "ClientSubscription",
    "ConnectionClosedError",
    "ConnectionEvent",
    "ConnectionRejectedError",
    "ConnectionState",
    "ErrorDetails",
    "FileUpload",
    "Gap",
    "GraphqlHttpTransport",
    "GraphqlOperationError",
    "GraphqlResult",
    "GraphqlSseTransport",
    "GraphqlWsClient",
    "GraphqlWsClientError",
    "GraphqlWsClientSync",
    "GraphqlWsResponseError",
    "GraphqlWsTimeoutError",
    "GraphqlWsTransport",
    "GraphqlWsTransportAiohttp",
    "MessagesLostError",
    "MutationInterruptedError",
    "NoDataError",
    "RemoteProtocolError",
    "ResultTypeError",
    "Retry",
    "SubprotocolMismatchError",
    "SubscriptionEvent",
    "SyncSubscription",
    "full_jitter",
    "is_retriable",
]
