"""Middleware for requests in tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser


def hide_user(get_response: Any) -> Any:
    """Put a guest in the place of the user, as a second factor does."""

    def middleware(request: Any) -> Any:
        request.user = AnonymousUser()
        return get_response(request)

    return middleware
