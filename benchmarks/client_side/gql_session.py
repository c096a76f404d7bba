"""What is the same with both transports of gql."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

from gql import GraphQLRequest, gql
from gql.client import AsyncClientSession


class Session:
    """A session of gql; documents are parsed once, as its documentation has it."""

    def __init__(self, session: AsyncClientSession) -> None:
        self._session = session

    async def query(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Run a query, return its data."""
        request = GraphQLRequest(parsed(document).document, variable_values=variables)
        return await self._session.execute(request)

    def subscription(self, document: str) -> AsyncIterator[dict[str, Any]]:
        """Subscribe, return the data of each event."""
        return self._session.subscribe(parsed(document))


@lru_cache
def parsed(document: str) -> GraphQLRequest:
    """Parse a document, the first time."""
    return gql(document)
