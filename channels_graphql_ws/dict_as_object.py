"""Keeps the predecessor's module name importable; the class lives in `context`."""

from .context import DictAsObject

__all__ = ["DictAsObject"]
