"""Operations over HTTP that have to wait: not for ever, not in any number, nor with old rights."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels_graphql_ws.http import beginning
from channels_graphql_ws.http.beginning import Beginning, BusyError, RightsEndedError
from support import tick


class Options:
    """Rights are looked up, as by default."""

    revalidate_every: float | None = 10.0
    revalidate_operations_every: float | None = 1.0


def begins(owner: str = "one", size: int = 1, options: Any = Options) -> Beginning:
    return Beginning(options, {}, lambda: owner, lambda: size)


async def test_who_finds_room_begins_at_once() -> None:
    assert begins().waiting(None) is None


async def test_who_waits_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "PATIENCE", 0.0)
    waits = begins()
    for _ in range(2):
        waiting = waits.waiting(asyncio.Event().wait())
        assert waiting is not None
        with pytest.raises(BusyError) as caught:
            await waiting
    [error] = caught.value.errors
    assert error.extensions == {"code": "UNAVAILABLE"}
    assert not beginning._waiting


async def test_little_waits_of_one_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "MOST_BYTES", 10)
    may_go_on = asyncio.Event()

    def wait(owner: str, size: int) -> asyncio.Future[None]:
        waiting = begins(owner, size).waiting(may_go_on.wait())
        assert waiting is not None
        return asyncio.ensure_future(waiting)

    # The first one may be larger.
    tasks = [wait("one", 1_000), wait("one", 1), wait("other", 5), wait("other", 5)]
    await tick(3)
    with pytest.raises(BusyError):
        await tasks.pop(1)
    may_go_on.set()
    await asyncio.gather(*tasks)
    assert not beginning._waiting


@pytest.mark.parametrize("ended", [True, False])
async def test_rights_are_looked_up_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    async def look_up(scope: Any, every: Any) -> bool:
        assert every == Options.revalidate_every
        return ended

    monkeypatch.setattr(beginning, "FRESH_FOR", -1.0)
    monkeypatch.setattr(beginning, "have_ended", look_up)
    waits = begins()
    waiting = waits.waiting(None)
    assert waiting is not None
    if ended:
        with pytest.raises(RightsEndedError):
            await waiting
    else:
        await waiting
        # Once: a look-up may take long, too.
        assert waits.waiting(None) is None


async def test_who_waits_after_a_look_up_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = 0

    async def look_up(scope: Any, every: Any) -> bool:
        nonlocal looked_up
        looked_up += 1
        return False

    monkeypatch.setattr(beginning, "FRESH_FOR", -1.0)
    monkeypatch.setattr(beginning, "have_ended", look_up)
    waits = begins()
    for room in (None, tick(1), None):
        waiting = waits.waiting(room)
        assert waiting is not None
        await waiting
    assert waits.waiting(None) is None
    assert looked_up == 2


async def test_nothing_is_looked_up_if_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(Options):
        revalidate_operations_every = None

    monkeypatch.setattr(beginning, "FRESH_FOR", -1.0)
    assert begins(options=Never).waiting(None) is None
