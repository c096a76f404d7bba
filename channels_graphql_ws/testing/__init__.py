"""What tests import: clients that need no server, a server, and a channel layer that fails."""

from .client import GraphqlWsClient
from .communicator import GraphqlWebsocketCommunicator
from .faults import FaultyChannelLayer
from .http import GraphqlHttpClient, GraphqlHttpResult
from .login import alogin_headers, login_headers
from .results import GraphqlResults
from .servers import LiveServer
from .sync_http import SyncGraphqlHttpClient, SyncGraphqlResults
from .transport import GraphqlWsTransport

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
