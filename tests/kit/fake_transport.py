"""A transport that sends nothing: how much of it is buffered says the test."""

from __future__ import annotations

import asyncio


class FakeTransport(asyncio.Transport):
    """Counts how often it is aborted.

    Attributes:
        buffered: bytes that are not sent.
        aborted: how often it was aborted.
    """

    def __init__(self, buffered: int = 0) -> None:
        super().__init__()
        self.buffered = buffered
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1

    def get_write_buffer_size(self) -> int:
        return self.buffered
