"""How the watchers of a run reach it from other processes: through the channel layer.

Each event loop that has runs, or clients that watch runs of others, listens to one group, which
is named after its token. Who wants events asks for them, one page at a time, and asks again every
few seconds: so the process of the run knows that somebody is there still, and a message that the
layer has lost is mended by the next one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final

from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.pubsub.publisher import group_name
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.subscription.run_cursor import RunCursor
from channels_graphql_ws.subscription.runs import LOST, Page, Run, RunEnd, RunHost
from channels_graphql_ws.subscription.sending import send

ASK_EVERY: Final = 2.0
"""Seconds between two questions of a watcher that waits."""

LOST_AFTER: Final = 6.0
"""Seconds without an answer after which a run is lost."""

LEASE: Final = 10.0
"""Seconds without a question after which a watcher of another process is gone."""

_TOPIC: Final = "channels_graphql_ws.runs"

_WATCHER_BYTES: Final = 8


class Post:
    """What one event loop tells others of runs, and is told. See `post_of`.

    Args:
        hub: listens for it.
        prefix: that of the groups.
        host: the runs of this event loop.
    """

    name = "resumable runs"
    """For the log."""

    def __init__(self, hub: Hub, prefix: str, host: RunHost) -> None:
        self.host = host
        self._hub = hub
        self._prefix = prefix
        self._groups = [group_name(prefix, _TOPIC, host.token.hex())]
        self._users = 0
        self._feeds: dict[bytes, RemoteFeed] = {}
        self._watchers: dict[bytes, RemoteWatcher] = {}
        self._timer: asyncio.TimerHandle | None = None

    def acquire(self) -> None:
        """Listen, until as many calls of `release`."""
        self._users += 1
        if self._users == 1:
            self._hub.listen(self, self._groups)

    def release(self) -> None:
        """Undo `acquire`."""
        self._users -= 1
        if not self._users:
            _posts.pop((self._hub, self._prefix, self.host.token), None)
            self._hub.leave(self, self._groups)

    async def opened(self) -> None:
        """Wait until what is sent from now on is received.

        Raises:
            ChannelLayerError: the channel layer refused.
        """
        await self._hub.joined(self._groups)

    def send(self, token: bytes, **message: Any) -> None:
        """Send to another event loop; what is lost is asked for again."""
        group = group_name(self._prefix, _TOPIC, token.hex())
        content = {"type": "broadcast", "payload": Serializer.serialize(message), "group": group}
        send([(self._hub.layer, Outgoing(content, "resumable"))])

    def add(self, id: bytes, feed: RemoteFeed) -> None:
        """Pass pages on to a feed, until `remove`."""
        self._feeds[id] = feed

    def remove(self, id: bytes) -> None:
        """Undo `add`."""
        self._feeds.pop(id, None)

    def forget(self, id: bytes) -> None:
        """Forget a watcher of another process."""
        del self._watchers[id]
        if not self._watchers:
            assert self._timer is not None, "it runs while there is a watcher"
            self._timer.cancel()
            self._timer = None

    def offer(self, notification: Notification) -> bool:
        """Take a message."""
        message: Mapping[str, Any] = notification.payload()
        if message["kind"] == "page":
            feed = self._feeds.get(message["watcher"])
            if feed is not None:
                feed.take(message)
        elif message["kind"] == "ask":
            self._asked(message)
        elif (watcher := self._watchers.get(message["watcher"])) is not None:
            watcher.leave(message["position"], stops=message["stops"])
        return False

    def _asked(self, message: Mapping[str, Any]) -> None:
        id, position = message["watcher"], message["position"]
        watcher = self._watchers.get(id)
        if watcher is None:
            run = self.host.find(message["run"], position, message["identity"], message["mark"])
            if run is None:
                page = Page(position, (), LOST)
                self.send(message["to"], **_page_message(id, position, page))
                return
            watcher = self._watchers[id] = RemoteWatcher(self, run, id, message["to"])
        if self._timer is None:
            self._look_later()
        watcher.asked(position, wants=message["wants"])

    def _look_later(self) -> None:
        loop = self._hub.loop
        self._timer = loop.call_later(LEASE, self._look, context=context_of_nobody())

    def _look(self) -> None:
        """Forget those that have not asked for too long."""
        self._look_later()
        oldest = self._hub.loop.time() - LEASE
        for watcher in [each for each in self._watchers.values() if each.asked_at < oldest]:
            watcher.leave(watcher.position, stops=False)

    def finish(self) -> bool:
        """Ignore the end of subscriptions."""
        return False

    def revoke(self) -> None:
        """Ignore the end of rights to subscriptions."""

    def lost(self, missed: int | None, serial: int) -> bool:
        """Ignore it: who waits for a message asks again."""
        del missed, serial
        return False

    @property
    def owner(self) -> None:
        """Belong to nobody."""

    def run_next(self) -> bool:
        """Have nothing to execute."""
        return False


class RemoteWatcher:
    """Somebody in another process who watches a run of this one."""

    def __init__(self, post: Post, run: Run, id: bytes, to: bytes) -> None:
        self.position = 0
        self.asked_at = 0.0
        self._post = post
        self._run = run
        self._id = id
        self._to = to
        self._wants = False

    def asked(self, position: int, *, wants: bool) -> None:
        """Answer at once, and again when there is something to read if there was nothing.

        Args:
            position: how many events the client has had.
            wants: whether there is room for further ones.
        """
        self.position, self._wants = position, wants
        self.asked_at = asyncio.get_running_loop().time()
        self._run.watch(self)
        self._run.moved()
        page = self._run.page(position) if wants else Page(position)
        self._send(page)

    def notify(self) -> None:
        """Send what there is to read, if somebody waits for it."""
        if self._wants:
            self._send(self._run.page(self.position))
        if self._run.closing is not None:
            self._post.forget(self._id)

    def leave(self, position: int, *, stops: bool) -> None:
        """Watch no more."""
        self.position = position
        self._post.forget(self._id)
        self._run.leave(self, stops=stops)

    def _send(self, page: Page) -> None:
        self._wants = self._wants and page.says_nothing
        self._post.send(self._to, **_page_message(self._id, self.position, page))


def _page_message(watcher: bytes, asked: int, page: Page) -> dict[str, Any]:
    end = None if page.end is None else [list(page.end.errors), page.end.is_lost]
    return {
        "kind": "page",
        "watcher": watcher,
        "asked": asked,
        "begins": page.begins,
        "texts": list(page.texts),
        "end": end,
    }


class RemoteFeed:
    """The feed of a client whose run is in another process.

    Args:
        post: of this event loop; given back when the client leaves.
        cursor: names the run.
        identity: that of the client, see `RunOwner`.
        mark: tells the operation from others.
    """

    def __init__(self, post: Post, cursor: RunCursor, identity: str | None, mark: bytes) -> None:
        self._post = post
        self._cursor = cursor
        self._identity = identity
        self._mark = mark
        self._id = secrets.token_bytes(_WATCHER_BYTES)
        self._loop = asyncio.get_running_loop()
        self._position = cursor.position
        self._answer: asyncio.Future[Page] | None = None
        self._wants = False
        self._answered_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        post.acquire()
        post.add(self._id, self)

    async def is_there(self) -> bool:
        """Return whether the run is there, and the client may watch it.

        Raises:
            ChannelLayerError: the channel layer refused.
        """
        await self._post.opened()
        self._answered_at = self._loop.time()
        self._beat_later()
        page = await self._asked(wants=False)
        return page.end is None

    async def after(self, position: int) -> Page:
        """Wait for events behind those that the client has had, or for the end."""
        self._position = position
        return await self._asked(wants=True)

    def leave(self, position: int, *, stops: bool) -> None:
        """Read no more, see `Feed`."""
        if self._timer is not None:
            self._timer.cancel()
        self._post.send(
            self._cursor.host, kind="leave", watcher=self._id, position=position, stops=stops
        )
        self._post.remove(self._id)
        self._post.release()

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a page; an empty one only says that the run is there."""
        self._answered_at = self._loop.time()
        if message["asked"] != self._position:
            # It was asked for twice.
            return
        end = message["end"]
        page = Page(message["begins"], message["texts"], None if end is None else RunEnd(*end))
        if not (self._wants and page.says_nothing):
            self._give(page)

    async def _asked(self, *, wants: bool) -> Page:
        self._wants = wants
        self._answer = self._loop.create_future()
        self._ask()
        try:
            return await self._answer
        finally:
            self._answer, self._wants = None, False

    def _ask(self) -> None:
        self._post.send(
            self._cursor.host,
            kind="ask",
            run=self._cursor.run,
            watcher=self._id,
            to=self._post.host.token,
            position=self._position,
            wants=self._wants,
            identity=self._identity,
            mark=self._mark,
        )

    def _beat_later(self) -> None:
        self._timer = self._loop.call_later(ASK_EVERY, self._beat, context=context_of_nobody())

    def _beat(self) -> None:
        """Ask again, unless nobody has answered for too long."""
        self._beat_later()
        if self._loop.time() - self._answered_at > LOST_AFTER:
            self._give(Page(self._position, (), LOST))
        else:
            self._ask()

    def _give(self, page: Page) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(page)


_posts: dict[tuple[Hub, str, bytes], Post] = {}
"""Those in use: nothing is kept of an event loop that has ended."""


def post_of(hub: Hub, prefix: str, host: RunHost) -> Post:
    """Return the post of a hub for groups with a prefix; it lives while it is acquired."""
    key = hub, prefix, host.token
    post = _posts.get(key)
    if post is None:
        post = _posts[key] = Post(hub, prefix, host)
    return post
