"""Live GraphQL data for Django: subscriptions over WebSocket on Channels."""

from .client import GraphqlWsClient
from .consumer import GraphqlWsConsumer
from .exceptions import (
    ChannelLayerError,
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsError,
    GraphqlWsResponseError,
    PayloadDecodeError,
    PayloadError,
    PayloadTypeError,
    RemoteProtocolError,
)
from .subscription import COMPLETE, SKIP, Subscription
from .transport import GraphqlWsTransport, GraphqlWsTransportAiohttp

__all__ = [
    "COMPLETE",
    "SKIP",
    "ChannelLayerError",
    "ConnectionClosedError",
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
    "Subscription",
]
