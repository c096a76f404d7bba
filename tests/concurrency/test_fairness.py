"""Few places, many owners: a share for each, and the next place to each in rotation."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, defaultdict
from collections.abc import Hashable
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.concurrency import fairness
from channels_graphql_ws.concurrency.fairness import MOST_LONG_EXECUTIONS, FairQueue, Place
from support import tick, wait_until


class Door:
    """Notes who goes in, and lets nobody out before the test does."""

    def __init__(self, places: int, share: int) -> None:
        self.queue = FairQueue(places, share)
        self.inside: list[str] = []
        self.places: dict[str, list[Place]] = defaultdict(list)
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *owners: str) -> None:
        """Let some come: an owner is a letter, a member of one has others behind it."""
        self.tasks += [asyncio.create_task(self._enter(owner)) for owner in owners]
        await tick(2)

    async def _enter(self, owner: str) -> None:
        self.places[owner].append(await self.queue.enter(owner[0], owner[1:]))
        self.inside.append(owner)

    async def go(self, owner: str) -> None:
        self.places[owner].pop().leave()
        self.inside.remove(owner)
        await tick(2)


async def test_one_owner_never_has_more_than_its_share() -> None:
    door = Door(places=4, share=2)
    await door.come("a", "a", "a", "b")
    assert door.inside == ["a", "a", "b"]
    await door.go("b")
    assert door.inside == ["a", "a"]
    await door.go("a")
    assert door.inside == ["a", "a"]
    assert all(task.done() for task in door.tasks)


class FakeShares:
    """Says what a test has it say."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.noted: list[tuple[Hashable, float, float]] = []

    def of(self, owner: Hashable) -> int:
        return self.most

    def note(self, owner: Hashable, computed: float, late: float) -> None:
        self.noted.append((owner, computed, late))


@pytest.fixture
def door_and_shares(monkeypatch: pytest.MonkeyPatch) -> tuple[Door, FakeShares]:
    shares = FakeShares(3)
    monkeypatch.setattr(fairness, "Shares", lambda _most: shares)
    return Door(places=8, share=3), shares


async def test_an_owner_may_have_fewer_for_a_while(
    door_and_shares: tuple[Door, FakeShares],
) -> None:
    door, shares = door_and_shares
    await door.come("a1", "a2", "a3", "a4", "a5", "a6")
    shares.most = 1
    await door.go("a1")
    await door.go("a2")
    assert door.inside == ["a3"]
    await door.go("a3")
    assert door.inside == ["a4"]
    # As many as there may be again, and not one for each that goes.
    shares.most = 3
    await door.go("a4")
    assert door.inside == ["a5", "a6"]


async def test_one_that_comes_when_there_may_be_more_waits_for_those_before_it(
    door_and_shares: tuple[Door, FakeShares],
) -> None:
    door, shares = door_and_shares
    await door.come("a1", "a2", "a3", "a4", "a5")
    shares.most = 4
    await door.come("a6")
    assert door.inside == ["a1", "a2", "a3", "a4"]
    for left in ("a1", "a2"):
        await door.go(left)
    assert door.inside == ["a3", "a4", "a5", "a6"]


async def test_what_was_done_with_a_place_is_noted_when_the_event_loop_hears_of_it(
    door_and_shares: tuple[Door, FakeShares], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, shares = door_and_shares
    await door.come("a", "b", "c")
    clock = iter([100.0, 102.5])
    [place], [unused] = door.places["a"], door.places["b"]
    unused.leave()
    assert shares.noted == []
    monkeypatch.setattr(fairness, "monotonic", lambda: next(clock))
    place.used(0.5)
    place.leave()
    assert shares.noted == [("a", 0.5, 2.5)]


async def test_more_places_are_granted_at_once_and_fewer_as_they_are_left() -> None:
    door = Door(places=1, share=1)
    await door.come("a", "b", "c", "d", "a")
    door.queue.resize(3, 1)
    await tick(2)
    assert door.inside == ["a", "b", "c"]
    door.queue.resize(1, 1)
    await door.go("b")
    await door.go("c")
    assert door.inside == ["a"]
    await door.come("e")
    assert door.inside == ["a"]
    await door.go("a")
    assert door.inside == ["d"]
    await door.go("d")
    await door.go("a")
    await door.go("e")
    assert all(task.done() for task in door.tasks)


async def test_the_next_place_goes_to_each_owner_in_rotation() -> None:
    door = Door(places=1, share=1)
    await door.come("a", "a", "a", "a", "b", "b", "c")
    order: list[str] = []
    while door.inside:
        order += door.inside
        await door.go(door.inside[0])
    assert order == list("aabcaba")


async def test_the_next_place_of_an_owner_goes_to_each_member_in_rotation() -> None:
    door = Door(places=1, share=1)
    await door.come("a1", "a1", "a1", "a1", "a2", "a2", "b1", "a3", "b1")
    order: list[str] = []
    while door.inside:
        order += door.inside
        await door.go(door.inside[0])
    assert order == ["a1", "a1", "b1", "a2", "b1", "a3", "a1", "a2", "a1"]


async def test_members_have_the_share_of_their_owner_in_common() -> None:
    door = Door(places=4, share=2)
    await door.come("a1", "a2", "a3", "b1")
    assert door.inside == ["a1", "a2", "b1"]
    await door.go("b1")
    assert door.inside == ["a1", "a2"]
    await door.go("a1")
    assert door.inside == ["a2", "a3"]


async def test_a_member_that_gives_up_leaves_the_others_their_turn() -> None:
    door = Door(places=1, share=1)
    await door.come("a1", "b1", "b1", "b2", "b3")
    for given_up in (door.tasks[1], door.tasks[2]):
        given_up.cancel()
    await tick(2)
    order: list[str] = []
    while door.inside:
        order += door.inside
        await door.go(door.inside[0])
    assert order == ["a1", "b2", "b3"]


async def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    door = Door(places=1, share=1)
    await door.come("a", "b", "b", "c")
    door.tasks[1].cancel()
    door.tasks[3].cancel()
    await tick(2)
    await door.go("a")
    assert door.inside == ["b"]
    await door.go("b")
    await door.come("c")
    assert door.inside == ["c"]


async def test_who_is_cancelled_with_a_place_already_given_gives_it_back() -> None:
    door = Door(places=1, share=1)
    await door.come("a", "b", "c")
    door.places["a"].pop().leave()
    door.tasks[1].cancel()
    await tick(3)
    assert door.inside == ["a", "c"]


@pytest.mark.parametrize("first_is_inside", [False, True])
async def test_all_of_an_owner_may_be_cancelled_at_once(first_is_inside: bool) -> None:
    """As when a client goes: each gives its place to the next, which is cancelled as well."""
    door = Door(places=2, share=1)
    await door.come("b", "a", "a", "a", "a", "b")
    if first_is_inside:
        door.places["a"].pop().leave()
        door.inside.remove("a")
    for task in door.tasks[1:5]:
        task.cancel()
    door.places["a"].clear()
    await asyncio.wait(door.tasks[1:5])
    assert all(task.cancelled() for task in door.tasks[2:5])
    await door.come("c")
    assert door.inside[-1] == "c"
    await door.go("b")
    assert door.inside[-1] == "b"


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_place_is_given_back_once_and_with_its_end_at_the_latest(in_thread: bool) -> None:
    door = Door(places=1, share=1)
    await door.come("a", "b", "c")
    [place] = door.places["a"]
    for _ in range(2):
        if in_thread:
            await asyncio.to_thread(place.leave)
        else:
            place.leave()
    await wait_until(lambda: door.inside == ["a", "b"])
    await tick(5)
    assert door.inside == ["a", "b"]
    door.places["b"].clear()
    await wait_until(lambda: door.inside == ["a", "b", "c"])


def test_a_place_may_end_after_its_event_loop() -> None:
    async def enter() -> Place:
        return await FairQueue(1, 1).enter("a")

    asyncio.run(enter()).leave()


def test_code_that_nobody_owns_is_an_owner_of_its_own() -> None:
    async def owners() -> tuple[object, object]:
        return fairness.owner(), fairness.owner()

    async def of_a_connection() -> tuple[object, object]:
        fairness.own()
        return fairness.owner(), await asyncio.create_task(_owner())

    async def _owner() -> object:
        return fairness.owner()

    one, other = asyncio.run(owners())
    assert one is not other
    mine, my_tasks = asyncio.run(of_a_connection())
    assert mine is my_tasks


async def test_what_code_does_counts_for_whoever_is_known_now() -> None:
    assert fairness.current_key() is None
    fairness.own()
    assert fairness.current_key() is fairness.known_owner()
    key: str | None = None
    fairness.share_as(fairness.Sharer(lambda: key, lambda: None))
    assert fairness.current_key() is fairness.known_owner()
    key = "address"
    assert fairness.current_key() == "address"
    key = "user"
    assert fairness.current_key() == "user"
    fairness.belong_to(lambda: None)
    assert fairness.current_key() is None


async def test_executions_begin_one_by_one_while_few_long_ones_are_under_way() -> None:
    fairness.own()
    owner = fairness.owner()
    loop = asyncio.get_running_loop()
    for _ in range(MOST_LONG_EXECUTIONS):
        assert not owner.is_full
        owner.rest()
    assert owner.is_full
    begun: list[int] = []

    async def begin(number: int) -> None:
        await owner.has_room()
        begun.append(number)
        if number == 1:
            # A long one.
            owner.rest()

    tasks = [asyncio.create_task(begin(number)) for number in range(4)]
    await tick()
    tasks[0].cancel()
    owner.resume(loop)
    await tick(10)
    assert begun == [1]
    owner.resume(loop)
    # One that waits again at once has never made room.
    owner.rest()
    await tick(10)
    assert begun == [1]
    owner.resume(loop)
    await tick(10)
    assert begun == [1, 2, 3]
    assert not owner.is_full
    tasks = [asyncio.create_task(begin(number)) for number in (4, 5)]
    await tick()
    # In the same iteration.
    tasks[0].cancel()
    owner.let_in(loop)
    await tasks[1]
    assert begun == [1, 2, 3, 5]


@given(
    places=st.integers(1, 4),
    share=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["a", "b", "b1", "b2", "c"]), st.booleans()), max_size=40
    ),
)
def test_no_place_is_lost_or_given_twice(
    places: int, share: int, steps: list[tuple[str, bool]]
) -> None:
    async def scenario() -> None:
        door = Door(places, share)
        come: Counter[str] = Counter()
        gone: Counter[str] = Counter()
        for owner, comes in steps:
            if comes:
                await door.come(owner)
            elif owner in door.inside:
                await door.go(owner)
                gone[owner] += 1
            come[owner] += comes
            assert len(door.inside) <= places
            taken = Counter(each[0] for each in door.inside)
            assert all(taken[each] <= share for each in "abc")
            if len(door.inside) < places:
                waiting = come - gone - Counter(door.inside)
                assert all(taken[each[0]] == share for each in waiting)
        while door.inside:
            await door.go(door.inside[0])
        assert all(task.done() for task in door.tasks)

    asyncio.run(scenario())


async def test_all_who_ask_for_a_key_have_one_owner_as_long_as_somebody_keeps_it() -> None:
    owner = fairness.owner_named("a")
    assert fairness.owner_named("a") is owner
    assert fairness.owner_named("b") is not owner
    gone = ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_each_event_loop_has_owners_of_its_own() -> None:
    async def named() -> fairness.Owner:
        return fairness.owner_named("a")

    assert asyncio.run(named()) is not asyncio.run(named())


def test_who_shares_is_asked_for_room_and_not_kept() -> None:
    class Client:
        def room(self) -> asyncio.Future[None] | None:
            return future

    loop = asyncio.new_event_loop()
    future = loop.create_future()
    client = Client()
    room = fairness.room_of(client)
    assert room() is future
    gc.disable()
    try:
        del client
        assert room() is None
    finally:
        gc.enable()
        loop.close()
