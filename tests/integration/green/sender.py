"""Broadcasts where threads are greenlets: `python sender.py gevent|eventlet REDIS LAYER GROUP`."""

import sys

kind, redis, layer, prefix = sys.argv[1:]
if kind == "gevent":
    from gevent import monkey

    monkey.patch_all()
else:
    import eventlet

    eventlet.monkey_patch()

import django  # noqa: E402 (after the patch, as in a worker)
from django.conf import settings  # noqa: E402

settings.configure(
    SECRET_KEY="for tests only",  # noqa: S106
    INSTALLED_APPS=["django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={"default": {"BACKEND": layer, "CONFIG": {"hosts": [redis], "prefix": prefix}}},
    CHANNELS_GRAPHQL_WS={"BROADCAST_TIMEOUT": 2},
)
django.setup()

import asyncio  # noqa: E402
import threading  # noqa: E402

import graphene  # noqa: E402
from django.db import connection  # noqa: E402

from channels_graphql_ws import ChannelLayerError, GraphqlWsConsumer, Subscription  # noqa: E402


class OnNumber(Subscription):
    value = graphene.Int()

    def publish(self, info):
        return {"value": self}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    on_number = OnNumber.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)


def is_quiet() -> None:
    """See that no event loop stays where greenlets see it, and that the ORM works."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise AssertionError("an event loop runs in all greenlets")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


for number in range(3):
    OnNumber.broadcast(payload=number)
    is_quiet()
OnNumber.broadcast_sync(payload=3)
is_quiet()


def in_a_greenlet(number: int) -> None:
    OnNumber.broadcast(payload=number)
    is_quiet()


greenlets = [threading.Thread(target=in_a_greenlet, args=(number,)) for number in range(4, 14)]
for greenlet in greenlets:
    greenlet.start()
# The others run while one waits.
in_a_greenlet(14)
for greenlet in greenlets:
    greenlet.join()
is_quiet()

from channels.layers import channel_layers  # noqa: E402


class Failing:
    """A channel layer that has gone."""

    async def group_send(self, group, message):
        raise OSError("no Redis")


before = channel_layers.set("default", Failing())
try:
    OnNumber.broadcast(payload=0)
except ChannelLayerError as error:
    assert isinstance(error.__cause__, OSError)  # noqa: PT017 (no test framework here)
else:
    raise AssertionError("a failure was not told")
channel_layers.set("default", before)
is_quiet()
sys.stdout.write("done\n")
