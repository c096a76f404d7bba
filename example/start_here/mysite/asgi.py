import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django_application = get_asgi_application()  # First: it loads the applications.

from channels_graphql_ws import GraphqlProtocolTypeRouter

from chat.schema import schema

application = GraphqlProtocolTypeRouter(schema, django_application=django_application)
