"""Event loops whose tasks begin at once, as applications may have them since Python 3.12."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import pytest

REQUESTED: Final = os.environ.get("CHANNELS_GRAPHQL_WS_TEST_EAGER") == "1"
"""Set by `tox run -e eager`."""


counts_turns = pytest.mark.skipif(
    REQUESTED, reason="asks how far a task is after some turns; one that begins at once is farther"
)


class EagerPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes event loops with the eager task factory, in all threads."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        # Python 3.11 has none, and is what the types are checked for.
        factory: Any = vars(asyncio)["eager_task_factory"]
        loop.set_task_factory(factory)
        return loop


def install() -> None:
    """Let every event loop that is made from now on have eager tasks."""
    asyncio.set_event_loop_policy(EagerPolicy())
