"""A project with Django's admin."""

from __future__ import annotations

from typing import Any

from django.urls import path

APPS = ["django.contrib.admin", "django.contrib.messages", "channels_graphql_ws"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": PROCESSORS},
    }
]


class _Urls:
    """The URLs of the project, made when they are asked for."""

    @property
    def urlpatterns(self) -> list[Any]:
        from django.contrib import admin  # noqa: PLC0415 (the app has to be installed)

        return [path("admin/", admin.site.urls)]


def use_admin(settings: Any) -> None:
    """Install Django's admin for one test, by the fixture of pytest-django."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, *APPS]
    settings.MIDDLEWARE = MIDDLEWARE
    settings.TEMPLATES = TEMPLATES
    settings.ROOT_URLCONF = _Urls()
    settings.STATIC_URL = "/static/"
