"""One contender in one scenario: its servers, and one round after another."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from contenders import Contender
from load import Audience
from processes import Server, ServerError, running

Figures: TypeAlias = dict[str, float]

CALM_TIMEOUT = 20.0
CALM_EVERY = 0.1
CALM_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Setting:
    """What one contender has to bear.

    Attributes:
        contender: who.
        audience: who subscribes to what.
        budget: seconds of server CPU that a round may cost, about.
        server_cpu: the core of the server.
        load_cpu: the core of everything else.
        command: what the contender's server runs in; `None` is this interpreter.
        redis: the command that runs Redis.
        options: what else the scenario wants.
    """

    contender: Contender
    audience: Audience
    budget: float
    server_cpu: int | None
    load_cpu: int | None
    command: list[str] | None
    redis: list[str] | None
    options: dict[str, Any]


EXPECTED: Final = "WARNING:channels_graphql_ws.broadcast:A RedisChannelLayer with a "
"""The layers have the options that users begin with, of which ours warns."""


class Stage:
    """The base of all measures.

    Attributes:
        versions: what is at work.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.versions: dict[str, str] = {}
        self._servers: list[Server] = []

    async def start(self, stack: AsyncExitStack) -> None:
        """Start the servers."""
        self.server = await stack.enter_async_context(self.serve())

    async def prepare(self) -> None:
        """Get ready for the first round."""

    async def round(self) -> Figures:
        """Measure once."""
        raise NotImplementedError

    async def finish(self) -> Figures:
        """Check at the end, and return what was measured once only."""
        return {}

    def disperse(self) -> None:
        """Let go of the clients."""

    def check_logs(self) -> None:
        """Raise if a server had something to complain about.

        Raises:
            ServerError: it had.
        """
        for server in self._servers:
            lines = server.log_text().splitlines()
            if log := "\n".join(line for line in lines if not line.startswith(EXPECTED)):
                raise ServerError(f"unexpected records in the log:\n{log[:2000]}")

    def forget_servers(self) -> None:
        """Those that ran so far have been checked."""
        self._servers.clear()

    @contextlib.asynccontextmanager
    async def serve(self, *, cpu: int | None = None, **wishes: Any) -> Any:
        """Run a server of the contender for the time of the block."""
        contender = self.setting.contender
        server = running(
            contender.module,
            command=self.setting.command,
            cpu=self.setting.server_cpu if cpu is None else cpu,
            send_buffer=self.setting.options.get("send_buffer"),
            wishes=contender.wishes | wishes,
            tree=contender.tree,
        )
        async with server as one:
            _see_who_it_is(self.setting, one)
            self.versions.update(one.versions)
            self._servers.append(one)
            yield one


async def calm(server: Server) -> None:
    """Wait until a server has no more to do."""
    async with asyncio.timeout(CALM_TIMEOUT):
        while True:
            before = server.cpu_seconds()
            await asyncio.sleep(CALM_EVERY)
            if server.cpu_seconds() - before < CALM_SHARE * CALM_EVERY:
                return


def _see_who_it_is(setting: Setting, server: Server) -> None:
    """Make sure that nobody else is measured for ours: all have one name."""
    tree = setting.contender.tree
    if tree is not None and not (server.package or "").startswith(str(tree.resolve())):
        raise ServerError(f"{setting.contender.name} has imported {server.package}")
    if setting.command is None or setting.contender.module != "graphql_app":
        return
    environment = setting.command[0].removesuffix("bin/python")
    if not (server.package or "").startswith(environment):
        raise ServerError(f"{setting.contender.name} has imported {server.package}")
