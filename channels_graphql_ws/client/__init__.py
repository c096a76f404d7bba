"""The client for any GraphQL server; the predecessor's module of this name."""

from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.exceptions import GraphqlWsResponseError

__all__ = ["GraphqlWsClient", "GraphqlWsResponseError"]
