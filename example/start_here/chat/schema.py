import graphene
from channels_graphql_ws import Subscription
from graphql import GraphQLError

from chat.models import Message


class MessageType(graphene.ObjectType):
    class Meta:
        name = "Message"

    id = graphene.ID(required=True)
    author = graphene.String(required=True)
    text = graphene.String(required=True)
    sent_at = graphene.DateTime(required=True)


class Query(graphene.ObjectType):
    messages = graphene.List(MessageType, room=graphene.String(required=True))

    def resolve_messages(root, info, room):
        newest = Message.objects.filter(room=room).order_by("-id")[:50]
        return reversed(newest)


class OnMessage(Subscription[Message]):
    message = graphene.Field(MessageType, required=True)

    class Arguments:
        room = graphene.String(required=True)

    @staticmethod
    def subscribe(root, info, room):
        return [room]  # The groups that this client joins.

    @staticmethod
    def publish(payload, info, room):
        return OnMessage(message=payload)  # What the fields are resolved from.


class SendMessage(graphene.Mutation):
    message = graphene.Field(MessageType, required=True)

    class Arguments:
        room = graphene.String(required=True)
        text = graphene.String(required=True)

    @staticmethod
    def mutate(root, info, room, text):
        user = info.context.user
        if not user.is_authenticated:
            raise GraphQLError("Log in first.")
        message = Message.objects.create(room=room, author=user.get_username(), text=text)
        OnMessage.broadcast(group=room, payload=message)
        return SendMessage(message=message)


class Mutation(graphene.ObjectType):
    send_message = SendMessage.Field()


class Subscriptions(graphene.ObjectType):
    on_message = OnMessage.Field()


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)
