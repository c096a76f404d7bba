"""Django settings of the benchmarked projects: the smallest that a real project could have."""

from __future__ import annotations

import json
import os
from typing import Any

import django
from django.conf import settings

WISHES: dict[str, Any] = json.loads(os.environ.get("BENCHMARK_WISHES", "{}"))
"""What a scenario wants to be different: `layer`, `redis`, `compile_operations`, `package` (our
settings)."""

LAYERS = {
    "memory": "channels.layers.InMemoryChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


def configure() -> None:
    """Configure Django with a channel layer that has its default capacity."""
    layer: dict[str, Any] = {"BACKEND": LAYERS[WISHES.get("layer", "memory")]}
    if "redis" in WISHES:
        layer["CONFIG"] = {"hosts": [WISHES["redis"]]}
    settings.configure(
        SECRET_KEY="only for benchmarks",  # noqa: S106 (serves nobody but the load)
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "servers"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        CHANNEL_LAYERS={"default": layer},
        CHANNELS_GRAPHQL_WS=WISHES.get("package", {}),
    )
    django.setup()
