"""Settings of the example: made for a demonstration on localhost.

Environment: `DEBUG` (default 1), `SECRET_KEY`, `ALLOWED_HOSTS` (comma-separated),
`EXAMPLE_DATABASE` (path of the SQLite file), `REDIS_URL` (default: none, in-memory).
"""

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEBUG", "1").lower() not in {"0", "false", "no", ""}

# Everybody can read this key, so everybody could forge a session with it. That is fine
# for a demonstration on one's own machine and for nothing else.
_DEMO_KEY = "django-insecure-demo-key-of-the-example-chat-not-for-production"
SECRET_KEY = os.environ.get("SECRET_KEY") or (_DEMO_KEY if DEBUG else "")
if not SECRET_KEY:
    msg = "Set SECRET_KEY in the environment when DEBUG is off."
    raise ImproperlyConfigured(msg)

# Also what the Origin of a WebSocket is compared with.
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "chat",  # Before Daphne: its `runserver` is Daphne's, and says where the chat is.
    "daphne",  # Before Django's applications: its `runserver` serves ASGI, with WebSockets.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DATABASE", BASE_DIR / "chat.sqlite3"),
        # The server and `manage.py say` write to one file: wait for each other's locks.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("REDIS_URL")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    # In memory is enough for one process. Several server processes, workers or
    # commands that broadcast need Redis between them. The pub/sub layer, because the
    # other one silently drops what exceeds 100 unread messages of a process.
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 6},
    },
]
LOGIN_URL = "enter"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "enter"

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        # Daphne says here when it listens; scripts that start the server wait for it.
        "daphne.server": {"handlers": ["console"], "level": "INFO"},
        "channels_graphql_ws": {"handlers": ["console"], "level": "INFO"},
    },
}
