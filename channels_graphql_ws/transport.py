"""The predecessor's name for the transports of the client."""

from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp
from channels_graphql_ws.client.transport import (
    ConnectionRejectedError,
    GraphqlWsTransport,
    SubprotocolMismatchError,
)

__all__ = [
    "ConnectionRejectedError",
    "GraphqlWsTransport",
    "GraphqlWsTransportAiohttp",
    "SubprotocolMismatchError",
]
