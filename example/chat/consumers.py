"""The GraphQL endpoint of the chat."""

from channels_graphql_ws import GraphqlWsConsumer
from chat.schema import schema


class ChatConsumer(GraphqlWsConsumer):
    """One browser tab: any number of queries, mutations and subscriptions."""

    schema = schema
    # A first, empty `next` says that a subscription is in its groups. The page loads the
    # history after it, so that no message falls between the two.
    confirm_subscriptions = True
    # A tab whose laptop went to sleep does not answer, and is given up.
    send_ping_every = 20
    # A socket that never says hello costs a little: do not let it stay.
    connection_init_wait_timeout = 10
