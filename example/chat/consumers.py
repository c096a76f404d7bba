"""The GraphQL endpoint of the chat, over WebSocket and over HTTP."""

from dataclasses import replace
from typing import Any

from django.conf import settings

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from channels_graphql_ws.graphiql import GraphiqlConfig
from chat.pictures import MAX_BYTES

GREETING = """# Run Listen, then say something in the chat: it
# appears here. So it does when you run Say in a
# second tab, once you have chosen a nick.

subscription Listen {
  onMessage(room: "lobby") {
    message { author { name } text picture }
  }
}

mutation Say {
  sendMessage(room: "lobby", text: "Hello!") {
    message { id sentAt }
  }
}

subscription Clock {
  clock(every: 1, ticks: 10)
}

query History {
  history(room: "lobby", limit: 3) {
    messages { author { name } text }
  }
}
"""


class ChatConsumer(GraphqlWsConsumer):
    """One browser tab: any number of queries, mutations and subscriptions."""

    # A first, empty `next` says that a subscription is in its groups. The page loads the
    # history after it, so that no message falls between the two.
    confirm_subscriptions = True
    # A tab whose laptop went to sleep does not answer, and is given up.
    send_ping_every = 20
    # A socket that never says hello costs a little: do not let it stay.
    connection_init_wait_timeout = 10


class ChatHttpConsumer(GraphqlHttpConsumer):
    """GraphiQL, pictures for messages, and the streams of the wall."""

    graphiql = settings.DEBUG
    # For the wall, which does as the chat does.
    confirm_subscriptions = True
    multipart_uploads_enabled = True
    # A picture, and some space for the form around it.
    max_upload_size = MAX_BYTES + 20_000

    def graphiql_config(self, request: Any) -> GraphiqlConfig:
        """Greet with something to run."""
        config = super().graphiql_config(request)
        return replace(config, title="Parlour", default_query=GREETING)
