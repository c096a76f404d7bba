"""The path that the application is mounted at, which `reverse()` begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import set_script_prefix


def enter_script_prefix(scope: Mapping[str, Any]) -> None:
    """Let URLs begin with the path that the application is mounted at, in the running context.

    Django does it for its own requests: `reverse()` asks for it, and so do relative media and
    static URLs. Where it is mounted at the root, nothing is to be done.

    Args:
        scope: of the request or the connection (ASGI).
    """
    prefix = settings.FORCE_SCRIPT_NAME or scope.get("root_path")
    if prefix:
        set_script_prefix(prefix)
