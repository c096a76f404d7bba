"""An application of Celery whose tasks broadcast: `celery -A celery_worker worker -P POOL`."""

import os

import django
from celery import Celery
from django.conf import settings

REDIS = os.environ["WORKER_REDIS"]

settings.configure(
    SECRET_KEY="for tests only",  # noqa: S106
    INSTALLED_APPS=["django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": os.environ["WORKER_LAYER"],
            "CONFIG": {"hosts": [REDIS], "prefix": os.environ["WORKER_PREFIX"]},
        }
    },
)
django.setup()

import graphene  # noqa: E402 (after `setup`)
from django.db import connection  # noqa: E402

from channels_graphql_ws import Subscription  # noqa: E402

app = Celery(
    "celery_worker", broker=REDIS, set_as_current=False, broker_connection_retry_on_startup=True
)
# Other tests use the same server.
app.conf.task_default_queue = os.environ["WORKER_PREFIX"]


class OnNumber(Subscription):
    value = graphene.Int()

    def publish(self, info):
        return {"value": self}


@app.task(name="broadcast")
def broadcast(number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    OnNumber.broadcast(payload=number)
    # What the last one did must not have spoiled it for the ORM.
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
