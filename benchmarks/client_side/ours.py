"""This package's client."""

from __future__ import annotations

from importlib.metadata import version

from channels_graphql_ws import GraphqlWsClient

VERSIONS = {name: version(name) for name in ("aiohttp", "orjson")}

connected = GraphqlWsClient
