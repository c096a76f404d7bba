"""What the servers serve."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "live_settings")
django.setup()

from live.schema import Consumer  # noqa: E402 (after `setup`)

application = Consumer.as_asgi()
