"""Large results that clients have not taken are bounded; who has none need not wait for others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from channels_graphql_ws.operations import unsent
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.operations.unsent import _PROCESS, LARGE, Unsent, unsent_of_loop
from news_schema import consumer_class
from support import tick, wait_until

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"


def account(
    user: str | None = None,
    address: str | None = None,
    *,
    per_user: int | None = None,
    per_address: int | None = None,
    per_process: int | None = None,
) -> Unsent:
    options: Any = SimpleNamespace(
        max_unsent_bytes_per_user=per_user,
        max_unsent_bytes_per_address=per_address,
        max_unsent_bytes_per_process=per_process,
        trusted_proxies=(),
    )
    scope: dict[str, Any] = {"client": (address, 1) if address else None}
    if user is not None:
        scope["user"] = SimpleNamespace(pk=user, is_authenticated=True)
    return Unsent(options, scope)


async def ends(task: asyncio.Task[None]) -> None:
    await wait_until(task.done)
    await task


async def test_a_single_result_may_be_larger_than_the_limit_and_the_next_one_waits() -> None:
    first, second = account("a", per_user=10), account("a", per_user=10)
    assert not first.is_full
    first.hold(1_000)
    assert second.is_full
    first.give_back(1_000)
    assert not second.is_full


async def test_results_of_others_do_not_count() -> None:
    account("a", PUBLIC, per_user=10).hold(1_000)
    assert not account("b", PUBLIC, per_user=10).is_full
    assert not account(None, PUBLIC, per_user=10).is_full


async def test_those_of_one_address_count_together() -> None:
    limits = {"per_user": 1_000, "per_address": 100}
    account(None, PUBLIC, **limits).hold(100)
    assert account(None, PUBLIC, **limits).is_full
    assert not account(None, OTHER, **limits).is_full


async def test_a_user_who_has_nothing_unsent_need_not_wait_for_others_at_its_address() -> None:
    limits = {"per_user": 1_000, "per_address": 100}
    account(None, PUBLIC, **limits).hold(100)
    own = account("a", PUBLIC, **limits)
    assert not own.is_full
    own.hold(1)
    assert own.is_full


async def test_the_limit_of_the_process_leaves_each_owner_one_result() -> None:
    for number in range(3):
        account(str(number), per_process=100).hold(40)
    late = account("late", per_process=100)
    assert not late.is_full
    late.hold(40)
    assert late.is_full


async def test_clients_without_user_and_address_are_one_owner() -> None:
    account(None, "10.0.0.1", per_process=100).hold(100)
    assert account(None, "10.0.0.2", per_process=100).is_full
    assert not account("a", "10.0.0.2", per_process=100).is_full


async def test_without_limits_nobody_waits() -> None:
    for one in (account("a"), Unsent(None, {})):
        one.hold(2**40)
        assert not one.is_full
        assert not one.ledger.is_tight


async def test_endpoints_may_have_limits_of_their_own_for_one_user() -> None:
    strict, generous = account("a", per_user=10), account("a", per_user=1_000)
    strict.hold(10)
    generous.hold(10)
    assert strict.is_full
    assert not generous.is_full
    generous.give_back(10)
    assert strict.is_full


async def test_a_limit_of_nothing_still_lets_one_result_go() -> None:
    one = account("a", per_user=0)
    assert not one.is_full
    one.hold(1)
    assert one.is_full
    one.give_back(1)
    assert not one.is_full
    assert not one.ledger.is_tight


async def test_those_that_wait_go_on_one_after_the_other() -> None:
    first, second, third = (account("a", per_user=100) for _ in range(3))
    first.hold(100)
    order: list[str] = []

    async def result(one: Unsent, name: str) -> None:
        await one.has_room()
        order.append(name)
        one.hold(100)

    work = ((second, "b1"), (second, "b2"), (third, "c1"))
    tasks = [asyncio.create_task(result(*each)) for each in work]
    await tick(5)
    assert order == []
    for one, expected in ((first, ["b1"]), (second, ["b1", "c1"]), (third, ["b1", "c1", "b2"])):
        one.give_back(100)
        await wait_until(lambda expected=expected: order == expected)
        await tick(5)
        assert order == expected
    for task in tasks:
        await ends(task)
    second.give_back(100)


async def test_one_that_is_cancelled_leaves_its_turn_to_the_next() -> None:
    first, second = account("a", per_user=100), account("a", per_user=100)
    first.hold(100)
    cancelled, waiting = (asyncio.create_task(second.has_room()) for _ in range(2))
    await tick(3)
    cancelled.cancel()
    await wait_until(cancelled.done)
    assert not waiting.done()
    first.give_back(100)
    await ends(waiting)


async def test_a_connection_that_ends_gives_everything_back_and_waits_no_more() -> None:
    first, second = account("a", per_user=100), account("a", per_user=100)
    first.hold(100)
    second.hold(1)
    waiting = [asyncio.create_task(second.has_room()) for _ in range(2)]
    await tick(3)
    assert first.is_contended
    second.close()
    for task in waiting:
        await ends(task)
    assert not first.is_contended
    assert not second.is_full
    first.close()
    first.close()
    assert not unsent_of_loop().is_tight


async def test_what_is_unsent_moves_with_the_user_of_a_connection() -> None:
    one = account("a", per_user=100)
    one.hold(100)
    assert account("a", per_user=100).is_full
    one.belong_to(("user", "b"))
    assert not account("a", per_user=100).is_full
    assert account("b", per_user=100).is_full


async def test_clients_are_asked_whether_they_have_read_only_while_others_wait() -> None:
    asked: list[str] = []
    silent, reader, other = (account("a", per_user=100) for _ in range(3))
    silent.hold(60)
    silent.ask_later()
    reader.hold(60)
    reader.asks = lambda: (asked.append("reader"), reader.give_back(60))[0]
    reader.ask_later()
    await tick(5)
    assert asked == []
    await other.has_room()
    assert asked == ["reader"]


def test_a_result_of_more_than_64_kib_is_a_large_one() -> None:
    assert LARGE == 65_536


@pytest.mark.parametrize("value", [-1, "1"])
def test_limits_must_be_numbers_from_zero_on(value: Any) -> None:
    cls = consumer_class(max_unsent_bytes_per_user=value)
    with pytest.raises((TypeError, ValueError), match="max_unsent_bytes_per_user"):
        engine_of(cls())


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    account("a", per_user=10).hold(10)
    waits = account("a", per_user=10)
    tasks = [asyncio.create_task(waits.has_room()) for _ in range(3)]
    await tick()
    assert waits.ledger.is_awaited
    tasks[0].cancel()
    assert waits.wake_next()  # In the same iteration: the second is woken, and waits again.
    await tick()
    for task in tasks[1:]:
        assert not task.done()
        task.cancel()
    await asyncio.wait(tasks)
    assert not waits.ledger.is_awaited
    assert not waits._waiting


async def test_nothing_is_given_back_that_does_not_count() -> None:
    one, other = account("a", per_user=10), account("a", per_user=10)
    one.hold(10)
    one.give_back(1_000)
    one.hold(10)
    one.close()
    one.give_back(1_000)
    one.hold(10)
    one.abandon()
    assert not other.is_full
    other.hold(10)
    # As much as if there had never been another one.
    assert account("a", per_user=10).is_full
    other.close()
    assert not account("a", per_user=10).is_full


async def test_nobody_waits_for_what_is_abandoned_if_it_is_not_much() -> None:
    stalled, reader, waits = (account("a", per_user=20) for _ in range(3))
    stalled.hold(9)
    reader.hold(11)
    assert waits.is_full
    own_results = [asyncio.create_task(stalled.has_room()) for _ in range(3)]
    stalled.abandon_later(None)
    await tick(5)
    assert waits.is_full
    stalled.abandon_later(0)
    await asyncio.wait(own_results)
    assert not waits.is_full


async def test_what_is_abandoned_counts_for_the_process_until_it_is_closed() -> None:
    stalled, other = account("a", per_process=10), account("b", per_process=10)
    stalled.hold(10)
    stalled.abandon()
    assert not other.is_full
    other.hold(1)
    assert other.is_full
    other.give_back(1)
    # Its owner has something unsent.
    own = account("a", per_process=10)
    assert own.is_full
    stalled.close()
    assert not own.is_full
    assert not own.ledger.is_tight


@pytest.mark.parametrize("owner", [("a", None), (None, PUBLIC)], ids=["user", "address"])
async def test_who_does_not_read_half_of_what_it_may_have_waits_with_the_first_result(
    owner: tuple[str | None, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    limits = {"per_user": 20, "per_address": 20}
    first, second, third = (account(*owner, **limits) for _ in range(3))
    waits = account(*owner, **limits)
    first.hold(9)
    first.abandon()
    assert not waits.is_full
    assert caplog.messages == []
    second.hold(1)
    second.abandon()
    assert waits.is_full
    third.hold(1)
    third.abandon()
    third.abandon()
    assert len(caplog.messages) == 1
    assert " 10 bytes are given up " in caplog.messages[0]
    assert not account("b", OTHER, **limits).is_full
    waiting = asyncio.create_task(waits.has_room())
    second.close()
    await tick(5)
    assert not waiting.done()
    third.close()
    await ends(waiting)


async def test_a_user_at_an_address_has_only_to_do_with_what_it_does_not_read_itself() -> None:
    limits = {"per_user": 20, "per_address": 20}
    stalled = account("a", PUBLIC, **limits)
    stalled.hold(20)
    stalled.abandon()
    assert account("a", PUBLIC, **limits).is_full
    assert not account(None, PUBLIC, **limits).is_full
    assert not account("b", PUBLIC, **limits).is_full


async def test_in_the_end_what_is_abandoned_counts_for_the_process_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsent, "GIVEN_UP_FOR", 0)
    stalled = account("a", per_user=10)
    stalled.hold(10)
    stalled.abandon()
    waits = account("a", per_user=10, per_process=10)
    await ends(asyncio.create_task(waits.has_room()))
    waits.hold(1)
    assert waits.is_full
    stalled.close()
    assert not waits.is_full


async def test_what_is_abandoned_stays_with_its_owner() -> None:
    stalled = account("a", per_user=10)
    stalled.hold(10)
    stalled.abandon()
    stalled.belong_to(("user", "b"))
    assert account("a", per_user=10).is_full
    assert not account("b", per_user=10).is_full


async def test_where_nothing_is_unsent_nothing_is_abandoned() -> None:
    stalled = account("a", per_user=0, per_process=0)
    stalled.abandon()
    assert not stalled.ledger.is_tight
    assert not account("a", per_user=0, per_process=0).is_full
    assert not stalled.ledger.has_any(_PROCESS)
