"""A page of Django's admin: the events that wait to be sent, and those that were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import ngettext

from channels_graphql_ws.outbox.models import OutboxEvent
from channels_graphql_ws.outbox.rows import retry

if TYPE_CHECKING:
    ModelAdmin: TypeAlias = admin.ModelAdmin[OutboxEvent]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(OutboxEvent)
class OutboxEventAdmin(ModelAdmin):
    """Lists the rows of the default database. Payloads are not shown.

    Users with `view_outboxevent` see them, those with `change_outboxevent` can have them sent,
    and those with `delete_outboxevent` can delete them.
    """

    list_display = ("created_at", "class_path", "group", "due_at", "attempts", "error")
    list_filter = (("due_at", admin.EmptyFieldListFilter),)
    search_fields = ("subscription", "group")
    exclude = ("payload",)
    actions = ("send_again",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return `False` (Django)."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: OutboxEvent | None = None) -> bool:
        """Return `False` (Django): what is sent is what was broadcast."""
        del request, obj
        return False

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Return whether a user may have rows sent (Django)."""
        return super().has_change_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        """Return the rows without their payloads (Django)."""
        return super().get_queryset(request).defer("payload")

    @admin.action(permissions=["send"], description="Send again")
    def send_again(self, request: HttpRequest, rows: QuerySet[OutboxEvent]) -> None:
        """Have rows sent that wait or were given up; a serving process does it."""
        count = retry(rows)
        text = ngettext("%d event is to be sent.", "%d events are to be sent.", count)
        messages.success(request, text % count)
