"""The Django app with the outbox; in INSTALLED_APPS it allows `broadcast(…, durable=True)`."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Lets durable broadcasts be written, and serving processes look for unsent ones."""

    name = "channels_graphql_ws.outbox"
    label = "channels_graphql_ws_outbox"
    verbose_name = "Outbox of GraphQL events"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the outbox with broadcasts, and with the hubs of this process."""
        # These need the apps to be ready.
        from channels_graphql_ws.outbox.poller import poller  # noqa: PLC0415
        from channels_graphql_ws.outbox.writing import DurableSender  # noqa: PLC0415
        from channels_graphql_ws.pubsub.services import services  # noqa: PLC0415
        from channels_graphql_ws.subscription.durable import installed  # noqa: PLC0415

        installed.outbox = DurableSender
        if poller not in services:
            services.append(poller)
