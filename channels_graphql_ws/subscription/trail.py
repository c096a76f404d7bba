"""What the log says about the way of an event, so that it answers why none arrives."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakSet

from django.conf import settings

from channels_graphql_ws.client_log import log_fields, logs_about, shown
from channels_graphql_ws.pubsub.hub import hubs_of_process
from channels_graphql_ws.pubsub.layers import GroupSender, is_local
from channels_graphql_ws.subscription.groups import layer_group
from channels_graphql_ws.subscription.namesakes import refuse_namesakes_on
from channels_graphql_ws.subscription.signals import SubscriptionSignals

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription
    from channels_graphql_ws.subscription.event import EventExecution

log = logging.getLogger("channels_graphql_ws.broadcast")

SHOWN: Final = 5
"""Names of groups in one line of the log."""

COMPARED: Final = 1_000
"""Names of groups that a name which nobody has joined is compared with."""

LONGEST_COMPARED: Final = 100
"""Characters of a name that is compared, or shown: clients may have a say in it."""

LOOKED_EVERY: Final = 10.0
"""Seconds between two searches for what is wrong with the groups of a class."""

# Of classes that are no more, nothing is kept.
_warned: WeakSet[type[Subscription]] = WeakSet()
_looked_at: WeakKeyDictionary[type[Subscription], float] = WeakKeyDictionary()


def note_broadcast(
    cls: type[Subscription], group: str | None, layer: GroupSender, layer_name: str
) -> None:
    """Log a broadcast with the number of its subscribers here; warn if its group looks wrong.

    Args:
        cls: the class.
        group: the group as the caller named it; `None` for all subscribers of the class.
        layer: the channel layer that carries it.
        layer_name: the name that the channel layer has for the group.

    Raises:
        TypeError: who is subscribed here is so to another class, which nothing tells apart.
    """
    count = 0
    for hub in hubs_of_process():
        if hub.layer is layer:
            here = hub.count(layer_name)
            if here:
                refuse_namesakes_on(hub, cls, layer_name)
            count += here
    explains = log.isEnabledFor(logging.DEBUG)
    if explains:
        log.debug(
            "Broadcast of %s to %s, subscribers in this process: %s",
            cls.__qualname__,
            shown_groups([group]),
            count,
        )
    if not count and group is not None and (explains or _is_worth_a_look(cls)):
        _note_nobody(cls, group, layer, layer_name)


def _is_worth_a_look(cls: type[Subscription]) -> bool:
    if cls in _warned:
        return False
    now = monotonic()
    if now - _looked_at.get(cls, -LOOKED_EVERY) < LOOKED_EVERY:
        return False
    _looked_at[cls] = now
    return True


def _note_nobody(cls: type[Subscription], group: str, layer: GroupSender, layer_name: str) -> None:
    """Say which groups the subscribers of a class have joined, if none is in this one."""
    hubs = [hub for hub in hubs_of_process() if hub.layer is layer]
    everybody = layer_group(cls, layer_name.rpartition("-")[0], None)
    subscribers = sum(hub.count(everybody) for hub in hubs)
    if not subscribers:
        return
    names = {name: None for hub in hubs for name in hub.names_of_others(everybody, COMPARED)}
    log.debug(
        "Nobody here has joined %r of %s; subscribers here: %s, in %s",
        group[:LONGEST_COMPARED],
        cls.__qualname__,
        subscribers,
        _shown_joined(names),
    )
    meant = _meant(group, names)
    is_suspicious = not names or meant is not None or (settings.DEBUG and is_local(layer))
    if cls in _warned or not is_suspicious:
        return
    _warned.add(cls)
    log.warning(
        "%s.broadcast(group=%r) reached nobody in this process. Subscribers here: %s, "
        "in %s%s. `subscribe` must return the name that `broadcast` has for a group, letter by "
        "letter",
        cls.__qualname__,
        group[:LONGEST_COMPARED],
        subscribers,
        _shown_joined(names),
        "" if meant is None else f"; did you mean {meant!r}?",
    )


def _shown_joined(names: Iterable[str]) -> str:
    return shown_groups(names) if names else "no group, as `subscribe` has returned none"


def note_subscribed(name: str, id: object, groups: Iterable[str]) -> None:
    """Log that a client has subscribed."""
    if log.isEnabledFor(logging.DEBUG):
        names = list(groups)
        where = shown_groups(names) if names else "no group: it gets broadcasts without a group"
        log.debug("Subscribed to %s (id %s), joined %s", name, shown(str(id)), where)


def note_ended(plan: EventExecution, id: object, signals: SubscriptionSignals | None) -> None:
    """Log the end of a subscription, whatever ended it, and tell receivers of signals."""
    if signals is not None:
        signals.end()
    if log.isEnabledFor(logging.DEBUG):
        with logs_about(plan.variables.get(log_fields)):
            log.debug("The subscription to %s has ended (id %s)", plan.name, shown(str(id)))


def note_skipped(name: str, id: object) -> None:
    """Log that `publish` has kept an event from a client."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug(
            "An event of %s was skipped by `publish` (id %s): SKIP or None", name, shown(str(id))
        )


def note_filtered(name: str, id: object) -> None:
    """Log that `filter_event` has kept an event from a client."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("An event of %s was kept back by `filter_event` (id %s)", name, shown(str(id)))


def shown_groups(groups: Iterable[str | None]) -> str:
    """Return names of groups for the log."""
    names = list(groups)
    if names == [None]:
        return "all subscribers of the class"
    shown = ", ".join(
        repr(name) if name is None else repr(name[:LONGEST_COMPARED]) for name in names[:SHOWN]
    )
    return f"the group {shown}" if len(names) == 1 else f"the groups {shown}"


def _meant(group: str, names: Iterable[str]) -> str | None:
    """Return the name that differs in case, in separators, or in what stands before it."""
    if len(group) > LONGEST_COMPARED:
        return None
    parts = _parts(group)
    for name in names:
        if len(name) > LONGEST_COMPARED:
            continue
        others = _parts(name)
        if "".join(parts) == "".join(others) or (
            parts
            and others
            and (parts[-len(others) :] == others or others[-len(parts) :] == parts)
        ):
            return name
    return None


def _parts(name: str) -> list[str]:
    return "".join(each if each.isalnum() else " " for each in name.casefold()).split()
