"""The ASGI application: pages over HTTP, GraphQL over WebSocket at `/graphql/`."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Loads the applications, so it has to come before whatever imports models.
django_application = get_asgi_application()

from chat.consumers import ChatConsumer  # noqa: E402 (see above)

application = ProtocolTypeRouter(
    {
        "http": django_application,
        # A browser sends the cookies of this site with a WebSocket that any other site
        # opens: compare its Origin with ALLOWED_HOSTS before a session is looked up.
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter([path("graphql/", ChatConsumer.as_asgi())]),
            ),
        ),
    }
)
