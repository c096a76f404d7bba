"""Keeps the predecessor's module name importable; the class lives in `consumer`."""

from .consumer import GraphqlWsConsumer

__all__ = ["GraphqlWsConsumer"]
