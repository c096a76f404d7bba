"""The Django app: in INSTALLED_APPS it brings checks, and listens to logouts everywhere."""

from __future__ import annotations

from django.apps import AppConfig


class ChannelsGraphqlWsConfig(AppConfig):
    """Registers what Django asks only of installed apps; all else works without."""

    name = "channels_graphql_ws"
    verbose_name = "GraphQL over WebSocket"

    def ready(self) -> None:
        """Register the system checks, and listen to signals about users.

        A process that serves no GraphQL, such as that of the admin, knows of logouts, too.
        """
        # These need the apps to be ready.
        from channels_graphql_ws import checks  # noqa: PLC0415
        from channels_graphql_ws.operations import user_signals  # noqa: PLC0415

        checks.register_checks()
        user_signals.connect()
