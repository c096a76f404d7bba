"""Names of a Subscription class's groups on the channel layer."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from channels_graphql_ws.pubsub import publisher

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription

LONGEST_KEPT: Final = 200
"""Characters of a group whose name on the channel layer is kept: clients may have a say in it."""


def topic_of(subscription_class: type[Subscription]) -> tuple[str, ...]:
    """Return what tells a class, and so its groups, from all others.

    Module and name are not enough: a function may make several classes of one name. The
    names of their types, by which a schema tells them apart, are there, too.
    """
    meta = subscription_class._meta
    output = "" if meta.output is subscription_class else _type_name(meta.output)
    return subscription_class.__module__, subscription_class.__qualname__, meta.name, output


def _type_name(output: Any) -> str:
    """Return the name of a type, or of what a `List` or `NonNull` is of."""
    while (inner := getattr(output, "_of_type", None)) is not None:
        output = inner
    name: str = getattr(getattr(output, "_meta", None), "name", "")
    return name


def layer_group(subscription_class: type[Subscription], prefix: str, group: str | None) -> str:
    """Return the channel layer's name of a group.

    Args:
        subscription_class: the class.
        prefix: `group_name_prefix` of the consumer.
        group: the name that `subscribe` and `broadcast` have for it. Of a member of an enum,
            its text counts. `None`: the group of all subscribers of the class.
    """
    text = None if group is None else str.__str__(group)
    topic = topic_of(subscription_class)
    if text is not None and len(text) > LONGEST_KEPT:
        return _named(prefix, topic, text)
    return _kept_name(prefix, topic, text)


def _named(prefix: str, topic: tuple[str, ...], group: str | None) -> str:
    return publisher.group_name(prefix, ":".join(topic), group)


# By the parts: Python keeps the hashes of those, and would not keep that of a new text.
_kept_name: Final = lru_cache(maxsize=4096)(_named)
