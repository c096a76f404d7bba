"""Run queries, mutations and the events of subscriptions; format errors."""

from .engine import Client, Engine, Session, Settings
from .errors import format_error

__all__ = ["Client", "Engine", "Session", "Settings", "format_error"]
