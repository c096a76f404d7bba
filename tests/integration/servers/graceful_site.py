"""The same site, which shuts down before the server does."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter
from live_site import application as site

from channels_graphql_ws import GraphqlLifespan, shut_down_on_signals

shut_down_on_signals()

application = ProtocolTypeRouter({**site.application_mapping, "lifespan": GraphqlLifespan()})
