"""`LiveServer`: an ASGI application on a socket of this machine, for browsers and real clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import warnings
from collections.abc import Callable, Collection
from importlib.util import find_spec
from typing import Any, Protocol, Self

from asgiref.sync import SyncToAsync
from django.db import connections
from django.test import modify_settings

from channels_graphql_ws.testing.running import as_asgi

HOST = "127.0.0.1"

STOP_AFTER = 1
"""Seconds that connections may take to end when a server stops; then they are dropped."""

LOOK_EVERY = 0.005
"""Seconds between two looks whether a server has started."""


class LiveServer:
    """Serves an ASGI application in a thread, on a free port, in a `with` or an `async with`.

    In an `async with`, clients of the same event loop can say goodbye while the server stops.
    As Django's own live server does it, it lets ALLOWED_HOSTS have its address, and can only
    see what is committed: tests need `transactional_db` or a `TransactionTestCase`.

    Args:
        application: the ASGI application, or a consumer class; without one, the project's
            ASGI_APPLICATION.
        path: where it serves GraphQL, for the addresses.
        server: "uvicorn" or "daphne"; without it, the first of them that is installed.

    Attributes:
        host: "127.0.0.1".
        port: where it listens, 0 before it does.
    """

    def __init__(
        self, application: Any = None, path: str = "/graphql/", *, server: str | None = None
    ) -> None:
        self.host = HOST
        self.port = 0
        self._path = "/" + path.removeprefix("/")
        self._server = _server(server)(as_asgi(application))
        self._settings = modify_settings(ALLOWED_HOSTS={"append": HOST})

    @property
    def url(self) -> str:
        """The address of the server, without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """Where it serves GraphQL over HTTP."""
        return f"http://{self.host}:{self.port}{self._path}"

    @property
    def ws_url(self) -> str:
        """Where it serves GraphQL over WebSocket."""
        return f"ws://{self.host}:{self.port}{self._path}"

    def __enter__(self) -> Self:
        """Start."""
        self._settings.enable()
        try:
            self.port = self._server.start()
        except BaseException:
            self._settings.disable()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; clients that are still connected are closed."""
        try:
            self._server.stop()
        finally:
            self._settings.disable()
            # Those of the thread where asgiref ran synchronous code.
            SyncToAsync.single_thread_executor.submit(connections.close_all).result()

    async def __aenter__(self) -> Self:
        """Start."""
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        """Stop, while this event loop goes on."""
        await asyncio.get_running_loop().run_in_executor(None, self.__exit__)


class _Server(Protocol):
    def start(self) -> int:
        """Start, and return the port."""
        ...

    def stop(self) -> None:
        """Stop."""
        ...


def _server(name: str | None) -> Callable[[Any], _Server]:
    """Choose a server.

    Raises:
        RuntimeError: it is not installed, or none is.
        ValueError: it is not one of ours.
    """
    servers: dict[str, Callable[[Any], _Server]] = {"uvicorn": _Uvicorn, "daphne": _Daphne}
    if name is not None and name not in servers:
        raise ValueError(f"server {name!r} is none of {list(servers)}")
    for each in servers if name is None else [name]:
        if find_spec(each) is not None:
            return servers[each]
    wanted = name or "uvicorn or daphne"
    extra = name or "uvicorn"
    raise RuntimeError(
        f"A live server needs {wanted}, which is not installed: "
        f"pip install 'channels-graphql-ws[{extra}]'"
    )


class _Uvicorn:
    """Uvicorn, on an event loop and in a thread of its own."""

    def __init__(self, application: Any) -> None:
        import uvicorn  # noqa: PLC0415 (need not be installed)

        if find_spec("websockets") is None and find_spec("wsproto") is None:
            raise RuntimeError(
                "Uvicorn serves no WebSockets without the package websockets: "
                "pip install 'channels-graphql-ws[uvicorn]'"
            )
        options: dict[str, Any] = {"log_config": None, "timeout_graceful_shutdown": STOP_AFTER}
        config = uvicorn.Config(application, **options)
        with warnings.catch_warnings():
            # Older releases use a part of websockets that warns of its end.
            warnings.simplefilter("ignore", DeprecationWarning)
            config.load()
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="live-server", daemon=True)

    def start(self) -> int:
        self._socket = socket.create_server((HOST, 0))
        port: int = self._socket.getsockname()[1]
        self._thread.start()
        while not self._server.started:
            self._thread.join(LOOK_EVERY)
            if not self._thread.is_alive():
                raise RuntimeError("Uvicorn did not start, its log says why")
        return port

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        # It ends the process, as it believes, if the application does not start up.
        with contextlib.closing(self._socket), contextlib.suppress(SystemExit):
            asyncio.run(self._server.serve([self._socket]))


class _Daphne:
    """Daphne. All of them share one thread: Twisted's reactor cannot be started twice."""

    def __init__(self, application: Any) -> None:
        from daphne.server import Server  # noqa: PLC0415 (need not be installed)

        endpoint = f"tcp:port=0:interface={HOST}"
        self._server: Any = Server(
            application, endpoints=[endpoint], signal_handlers=False, verbosity=0
        )
        # What it does of its own is to write an address into the log.
        self._server.listen_success = lambda port: port
        # Makes it leave the reactor alone, which runs already.
        self._server.abort_start = True

    def start(self) -> int:
        from twisted.internet import threads  # noqa: PLC0415 (comes with Daphne)

        def listen() -> Any:
            self._server.run()
            return self._server.listeners[0]

        self._port: Any = threads.blockingCallFromThread(_reactor(), listen)
        return int(self._port.getHost().port)

    def stop(self) -> None:
        from twisted.internet import threads  # noqa: PLC0415 (comes with Daphne)
        from twisted.internet.defer import Deferred  # noqa: PLC0415

        async def end() -> None:
            await self._port.stopListening().asFuture(asyncio.get_running_loop())
            connections = self._server.connections
            # A request that became a WebSocket has given its transport away.
            for transport in {each.transport for each in connections} - {None}:
                transport.loseConnection()
            found = (each.get("application_instance") for each in connections.values())
            applications = [each for each in found if each is not None]
            await _end_within(STOP_AFTER, applications)
            # Both call themselves again and again.
            self._server.application_checker = self._server.timeout_checker = _nothing

        def close() -> Any:
            return Deferred.fromFuture(asyncio.ensure_future(end()))

        threads.blockingCallFromThread(_reactor(), close)


_reactor_lock = threading.Lock()


def _reactor() -> Any:
    """Return the reactor that Daphne has installed, started the first time."""
    from twisted.internet import reactor  # noqa: PLC0415 (comes with Daphne)

    running: Any = reactor
    with _reactor_lock:
        if not running.running:
            started = threading.Event()
            running.callWhenRunning(started.set)
            run = threading.Thread(
                target=lambda: running.run(installSignalHandlers=False),
                name="live-server-daphne",
                daemon=True,
            )
            run.start()
            started.wait()
    return running


async def _end_within(seconds: float, applications: Collection[asyncio.Future[Any]]) -> None:
    if applications:
        _, late = await asyncio.wait(applications, timeout=seconds)
        for each in late:
            each.cancel()


def _nothing() -> None:
    pass
