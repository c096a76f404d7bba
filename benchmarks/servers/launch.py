"""Run one server module under Uvicorn on a free port of 127.0.0.1 and say which.

Started as `python -m servers.launch MODULE [--send-buffer BYTES]` by `processes.py`. All Python
servers run here, so that they differ in nothing but the application. The first line of stdout is a
JSON object with the port, the package and the versions that are at work.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import platform
import socket
import sys
from importlib import metadata

import uvicorn

DISTRIBUTIONS = (
    "django-channels-graphql-ws",
    "channels-graphql-ws",
    "strawberry-graphql",
    "django",
    "channels",
    "channels-redis",
    "redis",
    "asgiref",
    "graphene",
    "graphql-core",
    "uvicorn",
    "uvloop",
    "websockets",
)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--send-buffer", type=int)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    application = importlib.import_module(f"servers.{options.module}").application
    config = uvicorn.Config(
        application,
        loop="auto",  # uvloop, where it is installed
        lifespan="off",
        log_config=None,
        access_log=False,
        ws_per_message_deflate=False,
        # Keep-alive frames would be noise, and not the same noise in every round.
        ws_ping_interval=None,
        # The load generator's door stays open between rounds.
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=2,
    )
    listener = _listener(options.send_buffer)
    package = sys.modules.get("channels_graphql_ws")
    ready = {
        "port": listener.getsockname()[1],
        "package": package and package.__file__,
        "versions": _versions(),
    }
    print(json.dumps(ready), flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def _listener(send_buffer: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listener.bind(("127.0.0.1", 0))
    # Listening from here on: a client that reads the port may connect at once.
    listener.listen(2048)
    return listener


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


if __name__ == "__main__":
    main()
