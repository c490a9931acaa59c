import struct

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.wire import LIMITS, Fault, LocalWireError, RemoteWireError, decode, encode
from worker.wire import messages as m

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BINARY = st.binary(max_size=40)
INT64 = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False)


def _offsets(texts: list[str]) -> tuple[bytes, bytes]:
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text.encode()))
    return struct.pack(f"<{len(ends)}i", *ends), "".join(texts).encode()


@st.composite
def _columns(draw: st.DrawFn, rows: int) -> m.BlockColumn:
    kind = draw(st.sampled_from("qQd?sDno"))
    name = draw(TEXT)
    positions = draw(st.lists(st.integers(0, max(rows - 1, 0)), unique=True, max_size=rows))
    nulls = struct.pack(f"<{len(positions)}i", *sorted(positions))
    width = {"q": 8, "Q": 8, "d": 8, "?": 1}.get(kind)
    if width is not None:
        data = draw(st.binary(min_size=width * rows, max_size=width * rows))
        return m.BlockColumn(name, kind, data, b"", nulls)
    if kind == "n":
        return m.BlockColumn(name, kind, b"", b"", nulls)
    if kind == "o":
        return m.BlockColumn(name, kind, msgpack.packb([None] * rows), b"", nulls)
    if kind == "s":
        offsets, text = _offsets(draw(st.lists(TEXT, min_size=rows, max_size=rows)))
        return m.BlockColumn(name, kind, text, offsets, nulls)
    values = draw(st.lists(TEXT, min_size=1, max_size=4))
    offsets, text = _offsets(values)
    extra = struct.pack("<i", len(values)) + offsets + text
    return m.BlockColumn(name, kind, b"\0\0\0\0" * rows, extra, nulls)


@st.composite
def blocks(draw: st.DrawFn) -> m.Block:
    rows = draw(st.integers(0, 5))
    columns = draw(st.lists(_columns(rows), max_size=4))
    return m.Block(draw(TEXT), rows, tuple(columns))


PARAMETERS = st.dictionaries(TEXT, st.none() | st.booleans() | INT64 | FINITE | TEXT, max_size=4)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=4)
FAULTS = st.builds(Fault, TEXT, TEXT, TEXT)
HEADERS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
RESPONSES = st.builds(m.Response, INT64, HEADERS, BINARY)
KEPT = st.none() | INT64
MIRRORS = st.builds(m.Mirror, TEXT, BINARY, KEPT, st.just("stored")) | st.builds(
    m.Mirror, TEXT, st.none(), KEPT, st.sampled_from(["deleted", "live"])
)
MESSAGES = st.one_of(
    st.builds(m.Hello, BINARY, INT64, INT64, INT64, TEXT, INT64),
    st.builds(m.Ready),
    st.builds(m.Log, TEXT, TEXT, INT64),
    st.builds(m.QueryCall, TEXT, st.none() | PARAMETERS, st.none() | TEXT),
    st.builds(m.WriteCall, st.none() | TEXT, TEXT, st.booleans()),
    st.builds(m.CachePutCall, TEXT, BINARY, st.none() | FINITE),
    st.builds(m.CacheGetCall, TEXT),
    st.builds(m.CacheDeleteCall, TEXT),
    st.builds(m.Lines, st.none() | TEXT, TEXT),
    st.builds(m.Head, INT64, HEADERS, st.none() | INT64),
    st.builds(m.Chunk, BINARY),
    st.builds(m.Result, st.none() | FAULTS, st.none() | RESPONSES),
    MIRRORS,
    st.builds(m.Welcome, INT64, INT64),
    st.builds(m.Restore, TEXT, BINARY, KEPT),
    st.builds(m.Load, TEXT, st.none() | TEXT, st.none() | TEXT),
    st.builds(m.WalRun, TEXT, st.lists(blocks(), max_size=3).map(tuple)),
    st.builds(m.ScheduledRun, TEXT, INT64),
    st.builds(m.RequestRun, TEXT, TEXTS, TEXTS, BINARY),
    st.builds(m.QueryReply, blocks()),
    st.builds(m.DoneReply),
    st.builds(m.CacheReply, st.booleans(), st.none() | BINARY),
    st.builds(m.FaultReply, FAULTS),
    st.builds(m.Cancel),
    st.builds(m.Stop),
)


@given(MESSAGES)
def test_every_message_survives_the_wire(message: m.Message) -> None:
    assert decode(encode(message)) == message


def _decodes_or_is_refused(packed: bytes) -> None:
    try:
        message = decode(packed)
    except RemoteWireError:
        return
    packed_again = encode(message)
    assert encode(decode(packed_again)) == packed_again


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x91" * 3000)
@example(b"\xdd\xff\xff\xff\xff")
@example(msgpack.packb([2, {}]))
@example(msgpack.packb([3, "INFO", "x", msgpack.Timestamp(1)]))
def test_garbage_is_refused_or_is_a_message(garbage: bytes) -> None:
    _decodes_or_is_refused(garbage)


@given(MESSAGES, st.data())
def test_a_damaged_message_is_refused_or_is_a_message(
    message: m.Message, data: st.DataObject
) -> None:
    packed = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(packed) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                packed[position] = data.draw(st.integers(0, 255))
            case "cut":
                del packed[position:]
                packed += b"\0" * (not packed)
            case _:
                packed[position:position] = data.draw(st.binary(min_size=1, max_size=4))

    _decodes_or_is_refused(bytes(packed))


@pytest.mark.parametrize(
    "items",
    [
        [],
        [99],
        ["Ready"],
        [True],
        [2, 1],
        [3, "INFO", "text"],
        [3, "INFO", b"text", 1],
        [3, "INFO", "text", True],
        [4, "sql", msgpack.packb({"p": [1]}), None],
        [4, "sql", msgpack.packb({1: 1}), None],
        [4, "sql", {}, None],
        [9, None, ["a", "b"]],
        [10, msgpack.packb(["code", "message"]), None],
        [10, None, msgpack.packb([200, b"", "name"])],
        [12, 200, msgpack.packb(["name"]), None],
        [12, 200, msgpack.packb(["name", 1]), None],
        [12, 200, msgpack.packb([]), "length"],
        [13, "text"],
        [11, "key", b"value", None, "deleted"],
        [11, "key", None, None, "stored"],
        [11, "key", None, None, "elsewhere"],
        [36],
        [36, "run", "t", 2, 1, "c", "q", b"\0" * 8, b"", b""],
        [36, "run", "t", 1, 1, "c", "x", b"", b"", b""],
        [36, "run", "t", -1, 0],
        [36, "run", "t", 0, 2, "c", "n", b"", b"", b""],
        [36, "run", "t"],
        [39],
        [39, "", 0, 0, "", 0, 0],
        [36, "run", "t", 1, 1, "c", "s", b"abc", b"\0" * 8, b""],
        [36, "run", "t", 1, 1, "c", "D", b"\0" * 4, b"\xff" * 4, b""],
        [36, "run", "t", 1, 1, "c", "n", b"", b"", b"\0" * 8],
    ],
)
def test_what_is_no_message_is_refused(items: list[object]) -> None:
    with pytest.raises(RemoteWireError):
        decode(msgpack.packb(items))


def test_a_message_is_refused_unread_when_it_is_the_other_sides() -> None:
    packed = encode(m.Stop())

    with pytest.raises(RemoteWireError, match="Stop is not for the worker to send"):
        decode(packed, sender="worker")
    assert decode(packed, sender="engine") == m.Stop()


def test_many_small_containers_are_refused_at_the_second() -> None:
    bomb = b"\x93\x02" + b"\x9f" * 2 + b"\x90" * 1_000_000

    with pytest.raises(RemoteWireError, match="container inside another"):
        decode(bomb)


@pytest.mark.parametrize(
    "message",
    [
        m.Log("INFO", "lone \ud800", 1),
        m.QueryCall("select 1", {"p": 2**64}, None),
        m.Lines(None, "x" * (LIMITS.message_bytes + 1)),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(message: m.Message) -> None:
    with pytest.raises(LocalWireError):
        encode(message)
