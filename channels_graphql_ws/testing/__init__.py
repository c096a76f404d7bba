"""What tests import: clients that need no server, a server, and a channel layer that fails."""

from typing import TYPE_CHECKING, Any

from channels_graphql_ws import spelling
from channels_graphql_ws.testing.client import GraphqlWsClient
from channels_graphql_ws.testing.communicator import GraphqlWebsocketCommunicator
from channels_graphql_ws.testing.faults import FaultyChannelLayer
from channels_graphql_ws.testing.http import GraphqlHttpClient, GraphqlHttpResult
from channels_graphql_ws.testing.login import alogin_headers, login_headers
from channels_graphql_ws.testing.results import GraphqlResults
from channels_graphql_ws.testing.servers import LiveServer
from channels_graphql_ws.testing.sync_http import SyncGraphqlHttpClient, SyncGraphqlResults
from channels_graphql_ws.testing.transport import GraphqlWsTransport

__all__ = [
    "FaultyChannelLayer",
    "GraphqlHttpClient",
    "GraphqlHttpResult",
    "GraphqlResults",
    "GraphqlWebsocketCommunicator",
    "GraphqlWsClient",
    "GraphqlWsTransport",
    "LiveServer",
    "SyncGraphqlHttpClient",
    "SyncGraphqlResults",
    "alogin_headers",
    "login_headers",
]

if not TYPE_CHECKING:  # pragma: no branch (type checkers must still report a misspelt name)

    def __getattr__(name: str) -> Any:
        raise spelling.unknown_name(__name__, name, __all__)
