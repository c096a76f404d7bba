"""How much is parsed on an event loop itself in one of its iterations."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

NAMES_AT_ONCE: Final = 256
"""Names and numbers, in all documents of all clients. To validate one takes up to a tenth of a
millisecond."""

_parsed: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
"""How many there were in this iteration; nothing where there were none."""


def may_parse(names: int) -> bool:
    """Count a document that is about to be parsed; return whether others can wait for it.

    Each of thousands of operations may have one, and hooks and threads let them go on together.
    Without an event loop there is nobody who waits.

    Args:
        names: in the document, and numbers.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return True
    before = _parsed.get(loop)
    if before is None:
        loop.call_soon(_parsed.pop, loop, None)
        before = 0
    elif before + names > NAMES_AT_ONCE:
        return False
    _parsed[loop] = before + names
    return True
