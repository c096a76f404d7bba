"""The server is told how large a message may be, and inflates no more of what is compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from channels_graphql_ws.operations import amplified, server_limit
from channels_graphql_ws.operations.amplified import RATIO, Amplification
from channels_graphql_ws.operations.server_limit import AT_ONCE, PIECE, ServerLimit
from support import tick

COMPRESSED = 0x40


@pytest.fixture(autouse=True)
def _little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_limit, "LEAST_AT_ONCE", 0)
    monkeypatch.setattr(server_limit, "amplification", Amplification())


def nobody() -> None:
    """Return that the owner of a connection is not known."""


class CloseReason(Enum):
    """As in wsproto, whose extensions' module has it."""

    INVALID_FRAME_PAYLOAD_DATA = 1007
    MESSAGE_TOO_BIG = 1009


class TooBigError(Exception):
    """As in websockets."""


class Decoder:
    """The `PerMessageDeflate` of websockets: inflates up to a size; 0 is no limit."""

    def __init__(self) -> None:
        self.decoder = zlib.decompressobj(-15)

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        """Return the frame, inflated if it was compressed."""
        if not frame.rsv1:
            return frame
        data = self.decoder.decompress(frame.data, 0 if max_size is None else max_size)
        if self.decoder.unconsumed_tail:
            raise TooBigError(max_size)
        return SimpleNamespace(data=data, rsv1=False)


class Inflater:
    """The `PerMessageDeflate` of wsproto: inflates whatever it is given."""

    def __init__(self) -> None:
        self.is_compressed = True
        self.decoder = zlib.decompressobj(-15)

    def frame_inbound_payload_data(self, proto: object, data: bytes) -> bytes | CloseReason:
        """Return data, inflated if it was compressed, or what is wrong with it."""
        if not self.is_compressed:
            return data
        try:
            return self.decoder.decompress(data)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA


def named(name: str, base: type, module: str) -> Any:
    """Return a class that is like one of a package."""
    return type(name, (base,), {"__module__": module})


Deflate = named("PerMessageDeflate", Decoder, __name__)
WsprotoDeflate = named("PerMessageDeflate", Inflater, __name__)
ServerProtocol = named("ServerProtocol", SimpleNamespace, "websockets.server")
WSConnection = named("WSConnection", SimpleNamespace, "wsproto")
Connection = named("Connection", SimpleNamespace, "wsproto.connection")
LegacyProtocol = named("WebSocketServerProtocol", object, "websockets.legacy.server")


class Server:
    """What has the `send` of a server, with whatever it has besides."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    async def send(self, message: Any) -> None:
        """Send a message (ASGI)."""


def deflated(size: int) -> bytes:
    """Return a compressed message, as it is on the wire."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(b" " * size) + packer.flush(zlib.Z_SYNC_FLUSH)


def frame(data: bytes, *, is_compressed: bool = True) -> Any:
    return SimpleNamespace(data=data, rsv1=is_compressed)


def limit_of(owner: Callable[[], Hashable] = nobody, **attributes: Any) -> ServerLimit:
    return ServerLimit(Server(**attributes).send, owner)


def limit_of_websockets(
    extension: Any, owner: Callable[[], Hashable] = nobody, most: int = 100_000
) -> ServerLimit:
    return limit_of(owner, conn=ServerProtocol(max_size=most, extensions=[extension]))


@pytest.mark.parametrize("name", ["max_size", "max_message_size"])
def test_websockets_are_told_and_what_they_had_comes_back(name: str) -> None:
    conn = ServerProtocol(**{name: 1_000}, extensions=[])
    limit = limit_of(conn=conn)
    limit.set(100, 100)
    assert vars(conn) == {name: 100, "extensions": []}
    limit.set(500, 500)
    assert vars(conn)[name] == 500
    limit.set(2_000, 2_000)
    assert vars(conn)[name] == 1_000
    limit.set(None, None)
    assert vars(conn)[name] == 1_000


def test_a_server_without_a_limit_gets_ours() -> None:
    conn = ServerProtocol(max_size=None, extensions=[])
    limit = limit_of(conn=conn)
    limit.set(100, 100)
    assert conn.max_size == 100
    limit.set(None, None)
    assert conn.max_size is None


def test_it_is_found_behind_wrappers() -> None:
    conn = ServerProtocol(max_size=1_000, extensions=[])
    send = Server(conn=conn).send

    async def wrapped(message: Any) -> None:
        await send(message)

    ServerLimit(wrapped, nobody).set(100, 100)
    assert conn.max_size == 100


def test_the_older_websockets_queue_no_more_than_one_message() -> None:
    class Legacy(LegacyProtocol):  # type: ignore[misc]
        """Uvicorn's, which is a subclass."""

        max_size = 1_000
        max_queue = 32

        async def send(self, message: Any) -> None:
            """Send a message (ASGI)."""

    protocol = Legacy()
    limit = ServerLimit(protocol.send, nobody)
    # What it is told now is not for the next message, but for the one after that.
    limit.set(10, 100)
    assert (protocol.max_size, protocol.max_queue) == (100, 1)
    limit.set(None, None)
    assert (protocol.max_size, protocol.max_queue) == (1_000, 32)
    assert (Legacy.max_size, Legacy.max_queue) == (1_000, 32)


def of_uvicorn(extensions: list[Any], buffer: Any) -> dict[str, Any]:
    accepted = Connection(_proto=SimpleNamespace(extensions=extensions))
    return {"conn": WSConnection(connection=accepted), "buffer": buffer}


def of_hypercorn(extensions: list[Any], buffer: Any) -> dict[str, Any]:
    accepted = Connection(_proto=SimpleNamespace(extensions=extensions))
    return {"connection": accepted, "buffer": buffer}


ON_WSPROTO = pytest.mark.parametrize("attributes_of", [of_uvicorn, of_hypercorn])


@ON_WSPROTO
def test_buffers_of_servers_with_wsproto_are_told(attributes_of: Callable[..., Any]) -> None:
    buffer = SimpleNamespace(max_length=1_000)
    limit_of(**attributes_of([], buffer)).set(100, 100)
    assert buffer.max_length == 100


def test_before_the_handshake_wsproto_has_no_extensions() -> None:
    buffer = SimpleNamespace(max_length=1_000)
    limit_of(conn=WSConnection(connection=None), buffer=buffer).set(100, 100)
    assert buffer.max_length == 100


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"conn": SimpleNamespace(max_size=1_000)},
        {"connection": SimpleNamespace(max_size=1_000)},
        {"max_size": 1_000, "max_queue": 32},
        {"buffer": SimpleNamespace(max_length=1_000)},
    ],
    ids=["nothing", "conn", "connection", "numbers", "buffer"],
)
def test_what_is_of_no_known_package_is_left_alone(attributes: dict[str, Any]) -> None:
    before = {name: repr(value) for name, value in attributes.items()}
    limit_of(**attributes).set(100, 100)
    assert {name: repr(value) for name, value in attributes.items()} == before


def test_nothing_is_raised_whatever_stands_there() -> None:
    limit = limit_of(conn=ServerProtocol(max_size="large", extensions=None))
    limit.set(100, 100)
    limit.set(None, None)


def test_other_extensions_are_left_alone() -> None:
    other = SimpleNamespace(decode=print)
    limit_of(conn=ServerProtocol(max_size=1_000, extensions=[other])).set(100, 100)
    assert vars(other) == {"decode": print}


async def test_websockets_inflate_what_is_allowed_in_one_iteration() -> None:
    extension = Deflate()
    limit = limit_of_websockets(extension)
    limit.set(1_000, 1_000)
    # Again, as after the acceptance.
    limit.set(1_000, 1_000)
    for _ in range(AT_ONCE):
        assert len(extension.decode(frame(deflated(1_000)), max_size=100_000).data) == 1_000
    with pytest.raises(TooBigError, match=r"^1$"):
        extension.decode(frame(deflated(1_000)), max_size=100_000)


async def test_many_small_messages_may_be_inflated_in_one_iteration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_limit, "LEAST_AT_ONCE", 10_000)
    extension = Deflate()
    limit_of_websockets(extension).set(1_000, 1_000)
    for _ in range(10):
        assert len(extension.decode(frame(deflated(1_000)), max_size=None).data) == 1_000
    with pytest.raises(TooBigError):
        extension.decode(frame(deflated(1_000)), max_size=None)


async def test_websockets_inflate_anew_in_the_next_iteration() -> None:
    extension = Deflate()
    limit_of_websockets(extension).set(1_000, 1_000)
    for _ in range(AT_ONCE + 1):
        assert len(extension.decode(frame(deflated(1_000)), max_size=None).data) == 1_000
        await tick()


async def test_websockets_inflate_no_more_than_the_limit_or_their_own() -> None:
    limit = limit_of_websockets(extension := Deflate())
    limit.set(1_000, 1_000)
    with pytest.raises(TooBigError, match=r"^1000$"):
        extension.decode(frame(deflated(50_000)), max_size=100_000)
    with pytest.raises(TooBigError, match=r"^10$"):
        extension.decode(frame(deflated(50_000)), max_size=10)


async def test_a_limit_of_nothing_is_none_for_zlib_but_not_here() -> None:
    limit_of_websockets(extension := Deflate()).set(0, 0)
    with pytest.raises(TooBigError, match=r"^1$"):
        extension.decode(frame(deflated(50_000)), max_size=None)


async def test_what_is_not_compressed_is_not_counted() -> None:
    limit_of_websockets(extension := Deflate()).set(1_000, 1_000)
    plain = frame(b" " * 1_000, is_compressed=False)
    for _ in range(AT_ONCE + 1):
        assert extension.decode(plain, max_size=1_000) is plain
    assert len(extension.decode(frame(deflated(1_000)), max_size=None).data) == 1_000


async def test_without_a_limit_websockets_inflate_as_before() -> None:
    limit = limit_of_websockets(extension := Deflate())
    limit.set(1_000, 1_000)
    limit.set(None, None)
    assert len(extension.decode(frame(deflated(50_000)), max_size=None).data) == 50_000


@ON_WSPROTO
async def test_wsproto_inflates_what_is_allowed_in_one_iteration(
    attributes_of: Callable[..., Any],
) -> None:
    extension = WsprotoDeflate()
    limit = limit_of(**attributes_of([extension], SimpleNamespace(max_length=10**6)))
    limit.set(1_000, 1_000)
    limit.set(1_000, 1_000)
    for _ in range(AT_ONCE):
        assert extension.frame_inbound_payload_data(None, deflated(1_000)) == b" " * 1_000
    inflate = extension.frame_inbound_payload_data
    assert inflate(None, deflated(1_000)) is CloseReason.MESSAGE_TOO_BIG
    await tick()
    assert inflate(None, deflated(1_000)) == b" " * 1_000


async def test_wsproto_inflates_piece_by_piece() -> None:
    extension = WsprotoDeflate()
    limit_of(**of_uvicorn([extension], None)).set(1_000, 1_000)
    bomb = deflated(20_000_000)
    assert len(bomb) > 10 * PIECE
    assert extension.frame_inbound_payload_data(None, bomb) is CloseReason.MESSAGE_TOO_BIG
    # The rest was not even looked at.
    assert not extension.decoder.eof
    assert len(extension.decoder.decompress(bomb[PIECE:])) > 15_000_000


async def test_wsproto_inflates_large_messages_as_before() -> None:
    extension = WsprotoDeflate()
    limit_of(**of_uvicorn([extension], None)).set(3_000_000, 3_000_000)
    data = deflated(3_000_000)
    assert len(data) > PIECE
    assert extension.frame_inbound_payload_data(None, data) == b" " * 3_000_000


async def test_wsproto_says_what_is_wrong_with_data() -> None:
    extension = WsprotoDeflate()
    limit_of(**of_uvicorn([extension], None)).set(1_000, 1_000)
    answer = extension.frame_inbound_payload_data(None, b"\xff" * 10)
    assert answer is CloseReason.INVALID_FRAME_PAYLOAD_DATA


@pytest.mark.parametrize("size", [0, 10, 5 * PIECE])
async def test_what_wsproto_does_not_inflate_stays_as_it_is(size: int) -> None:
    extension = WsprotoDeflate()
    extension.is_compressed = False
    limit_of(**of_uvicorn([extension], None)).set(1, 1)
    data = b" " * size
    assert extension.frame_inbound_payload_data(None, data) is data


async def test_without_a_limit_wsproto_inflates_as_before() -> None:
    extension = WsprotoDeflate()
    limit = limit_of(**of_uvicorn([extension], None))
    limit.set(1, 1)
    limit.set(None, None)
    assert extension.frame_inbound_payload_data(None, deflated(5_000)) == b" " * 5_000


class Clock:
    """A time that only the test lets pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(amplified, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(amplified, "MOST_OF_ONE", 1_000_000)
    monkeypatch.setattr(amplified, "MOST_OF_UNKNOWN", 2_000_000)
    monkeypatch.setattr(amplified, "MOST_OF_ALL", 3_000_000)
    monkeypatch.setattr(amplified, "SMALL", 10_000)
    return Clock(monkeypatch)


SIZE = 900_000


def inflater_of(name: str, owner: str | None, extension: Any) -> Callable[[bytes], bytes | None]:
    """Return what inflates for a new connection; it returns `None` where that is refused."""
    if name == "websockets":
        limit_of_websockets(extension, lambda: owner, 10 * SIZE).set(10 * SIZE, 10 * SIZE)

        def inflate(data: bytes) -> bytes | None:
            try:
                decoded: bytes = extension.decode(frame(data), max_size=None).data
            except TooBigError:
                return None
            return decoded

        return inflate
    attributes = of_uvicorn([extension], None)
    limit_of(lambda: owner, **attributes).set(10 * SIZE, 10 * SIZE)

    def inflate_in_pieces(data: bytes) -> bytes | None:
        inflated = extension.frame_inbound_payload_data(None, data)
        return None if inflated is CloseReason.MESSAGE_TOO_BIG else inflated

    return inflate_in_pieces


@pytest.fixture(params=["websockets", "wsproto"])
def inflates(request: pytest.FixtureRequest) -> Callable[[str | None, bytes], bool]:
    """Return what inflates one message on a new connection, and says whether it did."""
    kept = []

    def inflate(owner: str | None, data: bytes) -> bool:
        extension = Deflate() if request.param == "websockets" else WsprotoDeflate()
        kept.append(extension)
        return inflater_of(request.param, owner, extension)(data) is not None

    return inflate


Inflates = Callable[[str | None, bytes], bool]


async def test_of_one_owner_no_more_is_amplified_in_a_second_over_however_many_sockets(
    clock: Clock, inflates: Inflates
) -> None:
    bomb = deflated(SIZE)
    assert inflates("a", bomb)
    assert not inflates("a", bomb)
    # That is no matter of another.
    assert inflates("b", bomb)
    clock.now += 2
    assert inflates("a", bomb)


async def test_of_all_no_more_is_amplified_than_of_several(
    clock: Clock, inflates: Inflates
) -> None:
    bomb = deflated(SIZE)
    assert [inflates(owner, bomb) for owner in "abcde"] == [True, True, True, False, False]


async def test_clients_nobody_knows_are_amplified_together(
    clock: Clock, inflates: Inflates
) -> None:
    bomb = deflated(SIZE)
    assert [inflates(None, bomb) for _ in range(4)] == [True, True, False, False]


async def test_what_is_not_much_longer_than_on_the_wire_is_never_refused(
    clock: Clock, inflates: Inflates
) -> None:
    # Numbers in a row, compressed to a third or so.
    text = "".join(map(str, range(100_000))).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    ordinary = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(text) < RATIO * len(ordinary)
    bomb = deflated(SIZE)
    for owner in "aabcd":
        inflates(owner, bomb)
    for _ in range(10):
        assert inflates("a", ordinary)
        assert inflates(None, ordinary)


async def test_small_messages_are_inflated_whatever_others_have_had(
    clock: Clock, inflates: Inflates
) -> None:
    bomb, small = deflated(SIZE), deflated(10_000)
    for owner in "abcd":
        inflates(owner, bomb)
    assert not inflates("e", bomb)
    # Compressed with what came before, an ordinary message may take a few bytes.
    assert all(inflates(owner, small) for owner in "abcde" for _ in range(5))


async def test_nor_is_there_any_number_of_small_messages(clock: Clock, inflates: Inflates) -> None:
    small = deflated(10_000)
    count = 0
    while inflates("a", small):
        count += 1
        assert count < 1_000
    assert count * 10_000 > amplified.MOST_OF_ONE
    assert inflates("b", small)


async def test_what_was_refused_counts_too(clock: Clock) -> None:
    data = deflated(50_000)
    limit = limit_of_websockets(extension := Deflate(), lambda: "a")
    limit.set(10_000, 10_000)
    with pytest.raises(TooBigError, match=r"^10000$"):
        extension.decode(frame(data), max_size=None)
    left = server_limit.amplification.most(0, lambda: "a")
    assert left == amplified.MOST_OF_ONE - (10_000 - RATIO * len(data))
