"""The engine of a consumer or view class, made of its attributes and shared by its instances."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from graphql import GraphQLSchema

from .destinations import look_again
from .execution import Engine, Settings
from .options import check_values, core_schema

_attributes = attrgetter(
    "middleware",
    "resolve_sync_in_threads",
    "compile_operations",
    "group_name_prefix",
    "confirm_subscriptions",
    "subscription_confirmation_message",
    "subscription_notification_queue_limit",
    "warn_operation_timeout",
    "max_depth",
    "max_tokens",
    "introspection",
    "parse_document",
    "validate_document",
    "mask_errors",
    "masked_error_message",
)
"""What an engine is made of, but for `validation_rules`, which may be a list that grows, and
`schema`, which may carry another one later."""


def engine_of(cls: type[Any]) -> Engine:
    """Give the engine that all instances of a class share.

    Raises:
        TypeError: the class has no `schema`.
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    schema = core_schema(cls.schema)
    attributes = schema, *_attributes(cls), *cls.validation_rules
    known: tuple[Any, Engine] | None = cls.__dict__.get("_shared_engine")
    if known is not None and known[0] == attributes:
        return known[1]
    check_values(cls)
    look_again()
    engine = Engine(_settings(cls, schema))
    cls._shared_engine = attributes, engine
    return engine


def _settings(cls: type[Any], schema: GraphQLSchema) -> Settings:
    return Settings(
        schema=schema,
        middleware=cls.middleware,
        sync_in_thread=cls.resolve_sync_in_threads,
        compile_operations=cls.compile_operations,
        group_name_prefix=cls.group_name_prefix,
        confirm_subscriptions=cls.confirm_subscriptions,
        confirmation_message=cls.subscription_confirmation_message,
        queue_limit=cls.subscription_notification_queue_limit,
        warn_operation_timeout=cls.warn_operation_timeout,
        rules=cls.document_rules(),
        mask=cls.mask_of_class(),
    )
