"""The predecessor's name for the module of `GraphqlWsConsumer`."""

from typing import Final

from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer

__all__ = ["GRAPHQL_WS_SUBPROTOCOL", "GraphqlWsConsumer"]

GRAPHQL_WS_SUBPROTOCOL: Final = "graphql-ws"
"""The only subprotocol of its releases up to 0.9, which tests of its users name."""
