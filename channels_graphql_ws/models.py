"""A model without a table: what Django's admin needs for a page with permissions."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class _NoRows(models.Manager["Connection"]):
    """Finds nothing, and asks no database: `dumpdata` goes through all models."""

    def get_queryset(self) -> models.QuerySet[Connection]:
        """Return an empty query set (Django)."""
        return super().get_queryset().none()


class Connection(models.Model):
    """A WebSocket or an event stream. There is no table: the admin asks the processes."""

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=32)

    objects = _NoRows()

    class Meta:
        """It stands in the permissions, and makes no migration."""

        app_label = "channels_graphql_ws"
        managed = False
        base_manager_name = "objects"
        default_permissions: ClassVar = ("view", "delete")
        verbose_name = _("connection")
        verbose_name_plural = _("connections")

    def __str__(self) -> str:
        return self.id
