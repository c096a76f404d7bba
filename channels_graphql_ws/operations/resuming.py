"""Begin the runs of resumable generators, and let clients that come back watch them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.protected_fields import permissions_of_resolver
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.json_text import dumps
from channels_graphql_ws.operations.interfaces import Client, PreparedOperation, Session
from channels_graphql_ws.operations.permitting import ask_permissions
from channels_graphql_ws.pubsub.layers import is_local
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.generator import GeneratorSubscription
from channels_graphql_ws.subscription.resumable import Resumable
from channels_graphql_ws.subscription.run_cursor import RunCursor
from channels_graphql_ws.subscription.run_post import RemoteFeed, post_of
from channels_graphql_ws.subscription.run_watch import NoFeed, RunSubscription
from channels_graphql_ws.subscription.runs import (
    LOST,
    Feed,
    LocalFeed,
    Run,
    is_of_process,
    runs_of_loop,
)


class Resuming:
    """Sets up subscriptions to runs.

    Args:
        prefix: that of the groups on the channel layer.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def begin(
        self,
        asked: PreparedOperation,
        execution: EventExecution,
        client: Client,
        session: Session,
        options: Resumable,
    ) -> Eager[RunSubscription]:
        """Call the generator, unless the client has a cursor: then find the run.

        Raises:
            GraphQLError: there are as many runs as there may be.
            ChannelLayerError: the channel layer did not let us ask another process.
            Exception: what the generator raises.
        """
        given = (asked.request.extensions or {}).get("cursor")
        if given is not None:
            # The method, which may ask them, is not called again.
            permissions = permissions_of_resolver(execution.source)
            yield from ask_permissions(execution, permissions, client.request.id)
            cursor = RunCursor.decode(given)
            return (yield from self._resume(cursor, asked, client, session, execution.name))
        host, mark = runs_of_loop(), _mark(asked)
        run = host.add(options, session.run_owner(), mark)
        feed = LocalFeed(run, 0)
        try:
            run.lease = session.lend_to(run, asked.context)
            if run.lease.hub is not None:
                run.door = post_of(run.lease.hub, self._prefix, host)
                run.door.acquire()
            yield from _call(run, execution, session, client)
        # A cancellation, too: nobody is there who could stop it.
        except BaseException:
            run.close_soon(LOST)
            raise
        return RunSubscription(
            feed,
            client,
            RunCursor(host.token, run.id, 0),
            recovered=None,
            format_error=session.formatter,
            name=execution.name,
            run=run,
        )

    def _resume(
        self,
        cursor: RunCursor | None,
        asked: PreparedOperation,
        client: Client,
        session: Session,
        name: str,
    ) -> Eager[RunSubscription]:
        feed = None
        if cursor is not None:
            feed = yield from self._feed(cursor, asked, session)
        return RunSubscription(
            feed or NoFeed(),
            client,
            cursor,
            recovered=feed is not None,
            format_error=session.formatter,
            name=name,
        )

    def _feed(
        self, cursor: RunCursor, asked: PreparedOperation, session: Session
    ) -> Eager[Feed | None]:
        """Return where the events of a run come from; `None` if it is not to be had."""
        host, mark, identity = runs_of_loop(), _mark(asked), session.run_owner().identity
        if cursor.host == host.token:
            run = host.find(cursor.run, cursor.position, identity, mark)
            return None if run is None else LocalFeed(run, cursor.position)
        try:
            hub = session.hub()
        except ChannelLayerError:
            # Other processes cannot be reached.
            return None
        if is_local(hub.layer) and not is_of_process(cursor.host):
            return None
        feed = RemoteFeed(post_of(hub, self._prefix, host), cursor, identity, mark)
        is_there = False
        try:
            is_there = yield feed.is_there()
        finally:
            if not is_there:
                feed.leave(cursor.position, stops=False)
        return feed if is_there else None


def _call(run: Run, execution: EventExecution, session: Session, client: Client) -> Eager[None]:
    source = yield from execution.call_once(execution.source, "A subscription to")
    generator = GeneratorSubscription(
        execution, run, source, format_error=session.formatter, id=client.request.id
    )
    if run.closing is None:
        run.take(generator)
    else:
        # Its owner has lost all rights meanwhile.
        yield from generator.end()


def _mark(asked: PreparedOperation) -> bytes:
    """Return what tells an operation from others: a cursor is for the same one only.

    Raises:
        GraphQLError: there is something in the variables that is not JSON.
    """
    request: Subscribe = asked.request
    # Others mean nothing, and a client may send any number of them.
    names = sorted(each.variable.name.value for each in asked.operation.variable_definitions or ())
    given: Mapping[str, Any] = request.variables
    variables = [(name, given[name]) for name in names if name in given]
    try:
        text = dumps([request.query, request.operation_name, variables])
    except (TypeError, ValueError) as error:
        raise GraphQLError(
            "A run that clients come back to needs variables that are JSON, and no files: send "
            "them by a mutation before"
        ) from error
    return hashlib.sha256(text.encode()).digest()
