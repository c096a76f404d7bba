"""ActiveSubscription GraphQL data for Django: subscriptions over WebSocket on Channels."""

from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.transport import GraphqlWsTransport
from channels_graphql_ws.exceptions import (
    ChannelLayerError,
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
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.http.uploads import Upload
from channels_graphql_ws.http.view import GraphqlView
from channels_graphql_ws.routing import GraphqlProtocolTypeRouter
from channels_graphql_ws.shutdown import GraphqlLifespan, shut_down, shut_down_on_signals
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.subscription.field import COMPLETE, SKIP
from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer

__all__ = [
    "COMPLETE",
    "SKIP",
    "ChannelLayerError",
    "ConnectionClosedError",
    "ConnectionRejectionError",
    "GraphqlHttpConsumer",
    "GraphqlLifespan",
    "GraphqlProtocolTypeRouter",
    "GraphqlView",
    "GraphqlWsClient",
    "GraphqlWsClientError",
    "GraphqlWsConsumer",
    "GraphqlWsError",
    "GraphqlWsResponseError",
    "GraphqlWsTransport",
    "GraphqlWsTransportAiohttp",
    "PayloadDecodeError",
    "PayloadError",
    "PayloadTypeError",
    "RemoteProtocolError",
    "SharedContextError",
    "Subscription",
    "Upload",
    "shut_down",
    "shut_down_on_signals",
]
