"""The table of events that are to be sent."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone


class OutboxEvent(models.Model):
    """A durable event. The row is deleted when a channel layer has it.

    Attributes:
        event: goes with each message that is sent for this row; receivers drop a second one.
        subscription: module, qualified name, and names of the types of the class.
        group: the group in JSON, which any database takes whatever the name is; `null` is all
            subscribers of the class.
        payload: as it was encoded at the call.
        created_at: when `broadcast` was called.
        due_at: from when on a serving process may send it; `None` if it was given up.
        claim: the process that sends it until then.
        attempts: how often serving processes have failed to send it.
        error: why, the last time.
    """

    event: models.CharField[str, str] = models.CharField(max_length=32, unique=True)
    subscription: models.TextField[str, str] = models.TextField()
    group: models.TextField[str, str] = models.TextField()
    payload: models.BinaryField[bytes, bytes] = models.BinaryField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        default=timezone.now
    )
    due_at: models.DateTimeField[Any, datetime | None] = models.DateTimeField(
        null=True, db_index=True
    )
    claim: models.CharField[str, str] = models.CharField(max_length=32, blank=True, default="")
    attempts: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    error: models.TextField[str, str] = models.TextField(blank=True, default="")

    class Meta:
        app_label = "channels_graphql_ws_outbox"
        db_table = "channels_graphql_ws_outbox"
        ordering: ClassVar[Any] = ["id"]
        verbose_name = "event to send"
        verbose_name_plural = "events to send"

    def __str__(self) -> str:
        """Return what the log and the command call it."""
        return f"row {self.pk} of the outbox ({self.class_path}, group {self.group[:100]})"

    @property
    def class_path(self) -> str:
        """The dotted path of the class."""
        return ".".join(self.subscription.split(":")[:2])

    @property
    def group_name(self) -> str | None:
        """The group, as `broadcast` was called with it."""
        name: str | None = json.loads(self.group)
        return name
