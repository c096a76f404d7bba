from channels_graphql_ws.testing import SyncGraphqlHttpClient
from django.contrib.auth.models import User
from django.test import TransactionTestCase

from mysite.asgi import application

SUBSCRIBE = 'subscription { onMessage(room: "tea") { message { author text } } }'
SEND = 'mutation { sendMessage(room: "tea", text: "Milk?") { message { id } } }'


class MessageTests(TransactionTestCase):
    def test_a_message_arrives(self):
        client = SyncGraphqlHttpClient(application)
        client.force_login(User.objects.create_user("ada"))
        with client.subscribe(SUBSCRIBE) as events:
            self.assertIsNone(client.execute(SEND).errors)
            event = next(events)
        self.assertEqual(
            event.data, {"onMessage": {"message": {"author": "ada", "text": "Milk?"}}}
        )

    def test_a_visitor_cannot_say_anything(self):
        result = SyncGraphqlHttpClient(application).execute(SEND)
        self.assertEqual(result.errors[0].message, "Log in first.")
