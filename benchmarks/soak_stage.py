"""The stage of the soak: servers and clients, what breaks, and what is left of it."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from door import inventory, obeyed
from environments import redis as redis_command
from processes import Redis, Server, running
from soak_clients import FIELDS, Seat

CHECK_EVERY: Final = 2.0
ANSWER_TIMEOUT: Final = 60.0
SETTLE_TIMEOUT: Final = 120.0
AT_ONCE: Final = 250
SAMPLE_EVERY: Final = 2.0
MEMORY_NOISE_KIB: Final = 24_576
SPARE_TASKS: Final = 4
SLOW_ONE_IN: Final = 20
EVENT_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Setting:
    """What is done.

    Attributes:
        layer: a key of `servers.django_setup.LAYERS`.
        clients: how many.
        rooms: how many groups they are in.
        seconds: how long the faults last at most.
        rounds: how often each fault happens at most.
        rate: broadcasts a second.
        stay: seconds until a client does something, on the average.
        pause: seconds between two faults.
        hang: seconds for which something is stopped.
        burst: events that are broadcast at once.
        faults: names of `FAULTS`, in their order.
        seed: of all random numbers.
    """

    layer: str
    clients: int
    rooms: int
    seconds: float
    rounds: int
    rate: float
    stay: float
    pause: float
    hang: float
    burst: int
    faults: tuple[str, ...]
    seed: int


class Slot:
    """A server that is started again when it has ended.

    Attributes:
        seconds_down: how long there was no server here.
    """

    def __init__(self, wishes: dict[str, Any]) -> None:
        self.server: Server | None = None
        self._wishes = wishes
        self._end = AsyncExitStack()

    async def start(self) -> None:
        """Start a server."""
        serving = running("soak_app", send_buffer=16_384, wishes=self._wishes)
        self.server = await self._end.enter_async_context(serving)

    async def end(self, number: int) -> None:
        """Send a signal to the server, and wait until it has ended."""
        server, self.server = self.server, None
        assert server is not None, "one fault at a time"
        server.process.send_signal(number)
        await server.process.wait()
        await self.close()

    async def close(self) -> None:
        """End the server."""
        await self._end.aclose()


class Stage:
    """All processes and all clients."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.redis = Redis(redis_command())
        wishes = {
            "layer": setting.layer,
            "redis": self.redis.url,
            "package": {"HISTORY_CHECK_EVERY": CHECK_EVERY},
        }
        self.slots = [Slot(wishes), Slot(wishes)]
        self.publisher = Slot(wishes)
        chance = random.Random(setting.seed)  # noqa: S311 (it need not be hard to guess)
        kinds = list(FIELDS)
        self.rooms = [f"{kinds[n % len(kinds)]}-{n}" for n in range(setting.rooms)]
        door = asyncio.Semaphore(AT_ONCE)
        self.seats = [
            Seat(
                self.rooms[number % setting.rooms],
                self.ports,
                stay=setting.stay,
                is_slow=number % SLOW_ONE_IN == 0,
                door=door,
                chance=random.Random(chance.random()),  # noqa: S311 (as above)
            )
            for number in range(setting.clients)
        ]
        self.chance = chance
        self.memory: list[int] = []

    def ports(self) -> list[int]:
        """Return where clients may come."""
        return [slot.server.port for slot in self.slots if slot.server is not None]

    @property
    def publisher_port(self) -> int:
        """Return where to order broadcasts."""
        assert self.publisher.server is not None, "it lives as long as the stage"
        return self.publisher.server.port

    @asynccontextmanager
    async def built(self) -> AsyncIterator[None]:
        """Start all processes, and end them."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.redis.stop)
            await self.redis.start()
            for slot in [*self.slots, self.publisher]:
                stack.push_async_callback(slot.close)
            await asyncio.gather(*(slot.start() for slot in [*self.slots, self.publisher]))
            yield


async def _until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


Fault = Callable[[Stage], Awaitable[None]]


async def _kill(stage: Stage) -> None:
    """Kill a server, and start another one."""
    await stage.slots[0].end(signal.SIGKILL)
    await asyncio.sleep(stage.setting.hang / 2)
    await stage.slots[0].start()


async def _end(stage: Stage) -> None:
    """End a server as a deploy does, and start another one."""
    await stage.slots[0].end(signal.SIGTERM)
    await stage.slots[0].start()


async def _stop(stage: Stage) -> None:
    """Stop a server for a while."""
    server = stage.slots[1].server
    assert server is not None, "this one is never ended"
    server.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(stage.setting.hang)
    finally:
        server.process.send_signal(signal.SIGCONT)


async def _cut(stage: Stage) -> None:
    """Cut all connections to Redis, twice."""
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.redis.port)
        for kind in ("normal", "pubsub"):
            writer.write(f"CLIENT KILL TYPE {kind} SKIPME yes\r\n".encode())
            await reader.readline()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(stage.setting.hang / 2)


async def _hang(stage: Stage) -> None:
    """Stop Redis for a while."""
    stage.redis.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(stage.setting.hang)
    finally:
        stage.redis.signal(signal.SIGCONT)


async def _empty(stage: Stage) -> None:
    """Kill Redis, and start it without its data."""
    stage.redis.signal(signal.SIGKILL)
    await stage.redis.stop()
    await asyncio.sleep(stage.setting.hang / 2)
    await stage.redis.start()


async def _burst(stage: Stage) -> None:
    """Broadcast more at once than queues and the core layer hold."""
    for kind in FIELDS:
        room = stage.chance.choice([room for room in stage.rooms if room.startswith(kind)])
        count = stage.setting.burst
        await obeyed(stage.publisher_port, action="burst", room=room, count=count, size=EVENT_SIZE)


FAULTS: Final[dict[str, Fault]] = {
    "kill": _kill,
    "stop": _stop,
    "cut": _cut,
    "burst": _burst,
    "hang": _hang,
    "end": _end,
    "empty": _empty,
}


@dataclass(slots=True)
class Outcome:
    """What was found."""

    figures: dict[str, Any] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


async def soak(setting: Setting) -> Outcome:
    """Let everything break for a while, and look what became of all events and clients."""
    stage, outcome = Stage(setting), Outcome()
    async with stage.built():
        bare = {slot: await _held(slot) for slot in stage.slots}
        tasks = [asyncio.create_task(seat.run()) for seat in stage.seats]
        tasks.append(asyncio.create_task(_sample(stage)))
        try:
            await _live_through(stage, outcome)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
        await _look_for_leaks(stage, outcome, bare)
    return outcome


async def _live_through(stage: Stage, outcome: Outcome) -> None:
    """Broadcast while things break, let the clients come to rest, and judge what they got."""
    if not await _until(lambda: all(seat.is_live for seat in stage.seats), SETTLE_TIMEOUT):
        outcome.findings.append("not all clients could come")
    order = {"rooms": stage.rooms, "rate": stage.setting.rate, "size": EVENT_SIZE}
    await obeyed(stage.publisher_port, action="start", **order)
    await _break(stage, outcome)
    for seat in stage.seats:
        seat.calm_down()
    told = await obeyed(stage.publisher_port, action="stop")
    sent = Sent(told["numbers"], told["failed"])
    await _until(lambda: not any(_waiting(stage, sent)), SETTLE_TIMEOUT)
    _judge(stage, outcome, sent)


class Sent(NamedTuple):
    """What was broadcast.

    Attributes:
        numbers: the number of the last event of each room.
        failed: the numbers of broadcasts that have raised: they may have arrived or not.
    """

    numbers: dict[str, int]
    failed: dict[str, list[int]]

    def to(self, room: str) -> tuple[int, Sequence[int]]:
        """Return the last number of a room, and those that need not have arrived."""
        return self.numbers.get(room, 0), self.failed.get(room, ())


def _waiting(stage: Stage, sent: Sent) -> Iterator[bool]:
    """Yield of each client whether it waits for something."""
    for seat in stage.seats:
        yield not seat.is_live or seat.account.lost(*sent.to(seat.room)) > 0


async def _break(stage: Stage, outcome: Outcome) -> None:
    ends_at = time.monotonic() + stage.setting.seconds
    for _ in range(stage.setting.rounds):
        for name in stage.setting.faults:
            if time.monotonic() > ends_at:
                return
            await asyncio.sleep(stage.setting.pause)
            await FAULTS[name](stage)
            outcome.faults[name] += 1


async def _sample(stage: Stage) -> None:
    """Note the memory of the server that lives to the end."""
    while True:
        await asyncio.sleep(SAMPLE_EVERY)
        server = stage.slots[1].server
        if server is not None and server.process.returncode is None:
            stage.memory.append(server.rss_kib())


def _judge(stage: Stage, outcome: Outcome, sent: Sent) -> None:
    """Count what the clients got, and find what is wrong."""
    totals = Counter(
        {
            "broadcasts": sum(sent.numbers.values()),
            "broadcasts that raised": sum(map(len, sent.failed.values())),
        }
    )
    for seat in stage.seats:
        totals.update(_figures(seat, sent))
        outcome.closes.update(seat.closes)
        wrong = _wrong(seat, sent, was_emptied="empty" in outcome.faults)
        totals.update(wrong)
        if any(wrong.values()):
            outcome.findings.append(f"a client of {seat.room}: {wrong}")
    outcome.figures.update(totals)
    outcome.findings += _grown_by_memory(stage, outcome)


def _figures(seat: Seat, sent: Sent) -> dict[str, int]:
    account = seat.account
    kind = "with history" if seat.has_history else "without history"
    return {
        "connections": seat.comes,
        "events received": account.got,
        "recoveries": account.recoveries,
        **{f"gaps told {kind}, {reason}": count for reason, count in account.gaps.items()},
        f"of these without a known loss, {kind}": account.needless(*sent.to(seat.room)),
    }


def _wrong(seat: Seat, sent: Sent, *, was_emptied: bool) -> dict[str, int]:
    account = seat.account
    wrong = {
        "lost and not told": account.lost(*sent.to(seat.room)),
        "doubled": account.doubled,
        "disordered": account.disordered,
        "away at the end": int(not seat.is_live),
    }
    if seat.has_history and not was_emptied:
        # As long as the history is there, only the client's own slowness loses anything.
        wrong["gaps without a cause"] = account.gaps.total() - account.gaps["slow"]
    return wrong


def _grown_by_memory(stage: Stage, outcome: Outcome) -> Iterator[str]:
    if not stage.memory:
        return
    first, last = stage.memory[0], stage.memory[-1]
    outcome.figures["KiB of a server with its clients, at first"] = first
    outcome.figures["KiB of the same at the end"] = last
    early = max(stage.memory[: len(stage.memory) // 4 + 1])
    if last > early + MEMORY_NOISE_KIB + early / 10:
        yield f"a server grew from {early} to {last} KiB"


async def _held(slot: Slot) -> dict[str, int]:
    """Ask a server what it holds that has to go with its clients."""
    assert slot.server is not None, "all faults are over"
    found = await inventory(slot.server.port, ANSWER_TIMEOUT)
    return {
        "tasks": found["tasks"],
        "groups": found["hub"]["groups"],
        "listeners": found["hub"]["listeners"],
        "consumers": found["objects"].get("servers.soak_app.Consumer", 0),
        "queued events": found["queued"],
        "waiting broadcasts": found["broadcasts waiting"],
    }


async def _look_for_leaks(
    stage: Stage, outcome: Outcome, bare: dict[Slot, dict[str, int]]
) -> None:
    """Compare what servers hold without clients with what they held before the first one."""
    for slot in stage.slots:
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while grown := _grown(bare[slot], held := await _held(slot)):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        outcome.findings += [f"a server without clients holds {what}" for what in grown]
        for name, count in held.items():
            title = f"{name} of servers without clients"
            outcome.figures[title] = outcome.figures.get(title, 0) + count
        assert slot.server is not None, "all faults are over"
        found = await inventory(slot.server.port, ANSWER_TIMEOUT)
        outcome.closes.update(f"log: {_kind(record)}" for record in found["records"])


def _kind(record: str) -> str:
    """Return the first line of a record without what differs from one to the next."""
    return re.sub(r"\b[0-9a-f]{16,}|\d+(\.\d+)?", "…", record.partition("\n")[0])[:160]


def _grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [
        f"{count} {name}, {before[name]} at first"
        for name, count in after.items()
        if count > before[name] + (SPARE_TASKS if name == "tasks" else 0)
    ]
