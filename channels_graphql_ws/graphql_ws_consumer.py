"""The predecessor's name for the module of `GraphqlWsConsumer`."""

from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer

__all__ = ["GraphqlWsConsumer"]
