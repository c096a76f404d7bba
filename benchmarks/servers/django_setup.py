"""Django settings of the benchmarked projects: the smallest that a real project could have."""

from __future__ import annotations

import django
from django.conf import settings


def configure() -> None:
    """Configure Django with the in-memory channel layer and its default capacity."""
    settings.configure(
        SECRET_KEY="only for benchmarks",  # noqa: S106 (serves nobody but the load)
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    )
    django.setup()
