"""The engine of a consumer or view class, made of its attributes and shared by its instances."""

from __future__ import annotations

from typing import Any

from .destinations import look_again
from .execution import Engine, Settings
from .options import check_values, core_schema


def engine_of(cls: type[Any]) -> Engine:
    """Give the engine that all instances of a class share.

    Raises:
        TypeError: the class has no `schema`.
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    settings = Settings(
        schema=core_schema(cls.schema),
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
    engine: Engine | None = cls.__dict__.get("_shared_engine")
    if engine is None or engine.settings != settings:
        check_values(cls)
        engine = cls._shared_engine = Engine(settings)
        look_again()
    return engine
