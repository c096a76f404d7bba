"""A page of Django's admin: who is connected to all processes, and a button to end it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.models import Connection
from channels_graphql_ws.operations.questions import (
    ask_for_connections,
    end_connection,
    in_plain_code,
)

if TYPE_CHECKING:
    ModelAdmin: TypeAlias = admin.ModelAdmin[Connection]
else:
    ModelAdmin = admin.ModelAdmin

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

LISTED: Final = 200
"""Connections on one page."""

LONGEST_SEARCH: Final = 200
"""Characters that are searched for."""

LONGEST_ID: Final = 32
"""Characters of the id of a connection."""


@admin.register(Connection)
class ConnectionAdmin(ModelAdmin):
    """Lists connections; `view_connection` lets see them, `delete_connection` end them."""

    def get_urls(self) -> list[URLPattern]:
        """Return the only two pages (Django)."""
        meta, view = self.opts, self.admin_site.admin_view
        name = f"{meta.app_label}_{meta.model_name}"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("end/", view(self.end_view), name=f"{name}_end"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return `False` (Django)."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """Return `False` (Django)."""
        del request, obj
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the connections that have most waiting (Django).

        Raises:
            PermissionDenied: the user may not see them.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        search = request.GET.get("q", "").strip()[:LONGEST_SEARCH]
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            **_answers(search),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            "search": search,
            "may_end": self.has_delete_permission(request),
        }
        vars(request)["current_app"] = self.admin_site.name
        return TemplateResponse(request, "admin/channels_graphql_ws/connections.html", context)

    def end_view(self, request: HttpRequest) -> HttpResponse:
        """End a connection (POST).

        Raises:
            PermissionDenied: the user may not end any.
        """
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_delete_permission(request):
            raise PermissionDenied
        id = request.POST.get("connection", "")[:LONGEST_ID]
        try:
            answers = in_plain_code(lambda: end_connection(id))
        except ChannelLayerError as error:
            messages.error(request, str(error))
        else:
            self._tell(request, id, has_ended=bool(answers.ended))
        url = "admin:channels_graphql_ws_connection_changelist"
        return redirect(reverse(url, current_app=self.admin_site.name))

    def _tell(self, request: HttpRequest, id: str, *, has_ended: bool) -> None:
        if has_ended:
            log.info("The connection %r was ended by the user %s", id, request.user.pk)
            messages.success(request, _("The connection %s was ended.") % id)
        else:
            text = _("No process that has answered in time has a connection %s.")
            messages.warning(request, text % id)


def _answers(search: str) -> dict[str, Any]:
    """Return what the page shows of the processes."""
    try:
        answers = in_plain_code(lambda: ask_for_connections(search, LISTED))
    except ChannelLayerError as error:
        return {"problem": str(error), "processes": (), "connections": (), "more": 0, "notes": ()}
    found = [(process, each) for process in answers.processes for each in process.listed]
    found.sort(key=lambda pair: (-pair[1].queued, -pair[1].unsent_bytes, pair[1].user))
    matching = sum(each.matching for each in answers.processes)
    return {
        "problem": None,
        "processes": answers.processes,
        "connections": found[:LISTED],
        "more": matching - len(found[:LISTED]),
        "notes": answers.notes,
    }
