"""The model whose instances are broadcast; it is never saved."""

from __future__ import annotations

from django.db import models


class Reading(models.Model):
    """An event, as a row of a table would have it."""

    seq = models.IntegerField()
    text = models.TextField()
    flag = models.BooleanField()
    ratio = models.FloatField()

    def __str__(self) -> str:
        """Name it."""
        return self.text
