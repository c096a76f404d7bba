"""What tests import: clients that drive an ASGI application, without a server."""

from .client import GraphqlWsClient
from .communicator import GraphqlWebsocketCommunicator
from .http import GraphqlHttpClient, GraphqlHttpResult
from .login import alogin_headers, login_headers
from .results import GraphqlResults
from .sync_http import SyncGraphqlHttpClient, SyncGraphqlResults
from .transport import GraphqlWsTransport

__all__ = [
    "GraphqlHttpClient",
    "GraphqlHttpResult",
    "GraphqlResults",
    "GraphqlWebsocketCommunicator",
    "GraphqlWsClient",
    "GraphqlWsTransport",
    "SyncGraphqlHttpClient",
    "SyncGraphqlResults",
    "alogin_headers",
    "login_headers",
]
