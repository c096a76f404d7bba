"""Live GraphQL data for Django: subscriptions over WebSocket on Channels."""

from .client import GraphqlWsClient
from .consumer import GraphqlWsConsumer
from .exceptions import (
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
from .http.uploads import Upload
from .http_consumer import GraphqlHttpConsumer
from .routing import GraphqlProtocolTypeRouter
from .shutdown import GraphqlLifespan, shut_down, shut_down_on_signals
from .subscription import COMPLETE, SKIP, Subscription
from .transport import GraphqlWsTransport, GraphqlWsTransportAiohttp
from .views import GraphqlView

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
