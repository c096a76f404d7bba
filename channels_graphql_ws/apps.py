"""The Django app: in INSTALLED_APPS it brings the system checks."""

from __future__ import annotations

from django.apps import AppConfig


class ChannelsGraphqlWsConfig(AppConfig):
    """Registers what Django asks only of installed apps; all else works without."""

    name = "channels_graphql_ws"
    verbose_name = "GraphQL over WebSocket"

    def ready(self) -> None:
        """Register the system checks."""
        from channels_graphql_ws import checks  # noqa: PLC0415 (needs the apps to be ready)

        checks.register_checks()
