"""Run queries, mutations and the events of subscriptions; format errors."""

from .engine import Client, Engine, Live, Session, Settings
from .errors import format_error

__all__ = ["Client", "Engine", "Live", "Session", "Settings", "format_error"]
