"""The ASGI application: GraphQL at `/graphql/`, be it WebSocket or HTTP; pages elsewhere."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Loads the applications, so it has to come before whatever imports models.
django_application = get_asgi_application()

from channels_graphql_ws import GraphqlProtocolTypeRouter  # noqa: E402 (see above)
from chat.consumers import ChatConsumer, ChatHttpConsumer  # noqa: E402
from chat.schema import schema  # noqa: E402

# Users and sessions are those of the pages. A WebSocket of another site's page, which would
# come with the cookies of this one, is refused.
application = GraphqlProtocolTypeRouter(
    schema,
    django_application=django_application,
    url_pattern=r"^graphql/$",
    http_consumer=ChatHttpConsumer,
    websocket_consumer=ChatConsumer,
)
