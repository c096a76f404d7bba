"""Two living Subscription classes that nothing tells apart: they would share their events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels_graphql_ws.pubsub.hub import Hub, hubs_of_process
from channels_graphql_ws.subscription.groups import topic_of

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription


def refuse_namesakes(subscription_class: type[Subscription], group: str) -> None:
    """Refuse two classes that share a group: each would get the events of the other.

    Args:
        subscription_class: the class that is subscribed to.
        group: its own group.

    Raises:
        TypeError: somebody in this process is subscribed to another class of that group.
    """
    for hub in hubs_of_process():
        refuse_namesakes_on(hub, subscription_class, group)


def refuse_namesakes_on(hub: Hub, subscription_class: type[Subscription], group: str) -> None:
    """Do the same for the subscribers of one event loop. May be called from any thread.

    Args:
        hub: of this event loop.
        subscription_class: the class that is subscribed to, or broadcast.
        group: any of its groups.

    Raises:
        TypeError: somebody there is subscribed to another class of that group.
    """
    other = hub.first_listener(group)
    # Asked of an abstract class, `isinstance` takes several times as long.
    if getattr(other, "subscription_class", subscription_class) is not subscription_class:
        raise TypeError(
            f"There are two Subscription classes {':'.join(topic_of(subscription_class))!r}, "
            "and each would get the events of the other: give them names of their own, by "
            "`name` in the inner class `Meta`"
        )
