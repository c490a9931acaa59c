"""The byte format: what is written is read, and damage has one name."""

from __future__ import annotations

import struct

import msgpack
import pyarrow as pa
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DamagedRecord, InvalidEntry
from engine.model.entry import CheckpointEntry, Client, Entry, Run, TableRows, WriteEntry
from engine.wal import record
from engine.wal.heads import decode_heads
from engine.wal.record import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    check_entry,
    decode,
    decode_without_rows,
    encode,
    encode_ahead,
    encode_segment_header,
    entry_count,
    is_intact,
    parse_record_header,
    parse_segment_header,
    segment_seed,
)
from tests.engine.wal.samples import plain, rows, write
from tests.engine.wal.strategies import log_entries

SALT = bytes(range(8))
SEED = segment_seed(SALT)


def payload_of(entries: list[Entry]) -> bytes:
    return b"".join(bytes(buffer) for buffer in encode(1, entries))[RECORD_HEADER_BYTES:]


@given(st.lists(log_entries, min_size=1, max_size=4), st.integers(0, 2**63))
def test_entries_survive_encoding(entries: list[Entry], first_sequence: int) -> None:
    data = b"".join(bytes(buffer) for buffer in encode(first_sequence, entries, SEED))
    header = parse_record_header(data[:RECORD_HEADER_BYTES], SEED)
    payload = data[RECORD_HEADER_BYTES:]

    assert header is not None
    assert header.first_sequence == first_sequence
    assert is_intact(payload, header, SEED)
    assert entry_count(payload) == len(entries)
    assert len(data) % 8 == 0
    assert [plain(entry) for entry in decode(payload)] == [plain(entry) for entry in entries]


@given(log_entries)
def test_every_entry_that_passes_the_check_can_be_read_again(entry: Entry) -> None:
    check_entry(entry)

    assert [plain(read) for read in decode(payload_of([entry]))] == [plain(entry)]


@given(st.lists(log_entries, min_size=1, max_size=3))
def test_progress_is_read_without_the_rows(entries: list[Entry]) -> None:
    heads = decode_without_rows(payload_of(entries))

    assert [plain(head)[0] for head in heads] == [plain(entry)[0] for entry in entries]


@given(st.lists(log_entries, min_size=1, max_size=4))
def test_heads_tell_whose_rows_an_entry_has(entries: list[Entry]) -> None:
    heads = decode_heads(payload_of(entries))

    assert [plain(head)[0] for head, _ in heads] == [plain(entry)[0] for entry in entries]
    assert [tables for _, tables in heads] == [
        ()
        if isinstance(entry, CheckpointEntry)
        else tuple((t.database_id, t.table_id, t.rows.num_rows) for t in entry.tables)
        for entry in entries
    ]


@given(st.lists(log_entries, min_size=1, max_size=2), st.data())
def test_damaged_payload_is_read_or_named_and_nothing_else(
    entries: list[Entry], data: st.DataObject
) -> None:
    payload = bytearray(payload_of(entries))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    payload = payload[: data.draw(st.integers(0, len(payload)))]

    for reader in (decode, decode_heads):
        try:
            assert reader(bytes(payload))
        except DamagedRecord:
            continue


@given(st.binary(max_size=200))
def test_garbage_is_named(garbage: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode(struct.pack("<IIq", 1, len(garbage), 0) + garbage + bytes(-len(garbage) % 8))


def head_only(plain_head: object, count: int = 1) -> bytes:
    head = msgpack.packb(plain_head)
    return struct.pack("<IIq", count, len(head), 0) + head + bytes(-len(head) % 8)


GOOD_ENTRY = [0, None, 1, [], None, []]


@pytest.mark.parametrize(
    "plain_head",
    [
        [],
        [[], []],
        [[GOOD_ENTRY]],
        [[GOOD_ENTRY], [[1, 2, 8]]],
        [[GOOD_ENTRY], {}],
        [[[3, None, 1, [], None, []]], []],
        [[[0, None, 1, [], None]], []],
        [[[0, None, -1, [], None, []]], []],
        [[[0, None, True, [], None, []]], []],
        [[[0, None, 1.0, [], None, []]], []],
        [[[0, None, 2**63, [], None, []]], []],
        [[[0, [1], 1, [], None, []]], []],
        [[[0, [1, b"run"], 1, [], None, []]], []],
        [[[0, [1, "r" * 257], 1, [], None, []]], []],
        [[[0, None, 1, [], [1, 2, 3], []]], []],
        [[[0, None, 1, [], None, [[0, 0, 0, None]]]], []],
        [[[1, None, 1, [], None, []]], []],
        [[[1, [1, "r"], 1, [], [2, 5, []], []]], []],
        [[[1, [1, "r"], 1, [], [0, 5, [[1]]], []]], []],
        [[[2, [[1, 2]], [], [], []]], []],
        [[[2, [], [], [], [None]]], []],
    ],
)
def test_head_of_another_shape_is_damage(plain_head: object) -> None:
    with pytest.raises(DamagedRecord):
        decode(head_only(plain_head))


@pytest.mark.parametrize(
    "plain_head", [[], [[], []], [[GOOD_ENTRY]], [[GOOD_ENTRY], [[1, 2]]], [[7], []], [[[0]], []]]
)
def test_head_of_another_shape_is_damage_without_rows_too(plain_head: object) -> None:
    with pytest.raises(DamagedRecord):
        decode_heads(head_only(plain_head))


def test_plain_head_is_read() -> None:
    assert decode(head_only([[GOOD_ENTRY], []])) == [WriteEntry(Client(), 1, (), None, ())]


def with_head(change: object) -> bytes:
    """A payload with two rows whose entry has been changed."""
    payload = payload_of([write(1.0, 2.0)])
    _, length, _ = struct.unpack_from("<IIq", payload)
    plain_head = msgpack.unpackb(payload[16 : 16 + length])
    stream = payload[16 + length + -length % 8 :]
    plain_head[0][0][5] = change
    return head_only(plain_head) + stream


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        [[0, 0, 1, None]],
        [[0, 1, 2, None]],
        [[0, 0, 3, None]],
        [[0, 0, 2, None], [0, 0, 2, None]],
        [[1, 0, 2, None]],
        [[0, 0, 2, []]],
        [[0, 0, 2, [2, 0]]],
        [[0, 0, 2, [0, 3]]],
        [[0, 0, 2, [0, 0, 2]]],
    ],
)
def test_ranges_that_do_not_cover_the_rows_are_damage(ranges: list[object]) -> None:
    with pytest.raises(DamagedRecord):
        decode(with_head(ranges))


def test_ranges_that_cover_the_rows_are_read() -> None:
    (entry,) = decode(with_head([[0, 0, 1, [1, 2]], [0, 1, 2, None]]))

    assert isinstance(entry, WriteEntry)
    assert [table.rows.schema.names for table in entry.tables] == [
        ["load", "time"],
        ["host", "load", "time"],
    ]


def stream_of(*batches: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        bytes(16),
        stream_of(rows([1.0, 2.0])) + bytes(8),
        stream_of(rows([1.0, 2.0]))[:-8],
        stream_of(rows([1.0]), rows([2.0])),
        stream_of(rows([1.0, 2.0]).select(["host", "load"])),
        stream_of(rows([1.0, 2.0]).rename_columns(["host", "host", "time"])),
        stream_of(
            pa.record_batch({"x": pa.array([1, 2], pa.int8()), "time": rows([1, 2])["time"]})
        ),
        stream_of(pa.record_batch({"time": pa.array([1, None], pa.timestamp("ns"))})),
    ],
)
def test_blocks_of_another_shape_are_damage(stream: bytes) -> None:
    names = [[1, 2, len(stream)]]
    with pytest.raises(DamagedRecord):
        decode(head_only([[[0, None, 1, [], None, [[0, 0, 2, None]]]], names]) + stream)


def test_rows_of_one_table_stand_in_one_block_whatever_their_columns() -> None:
    wide = pa.RecordBatch.from_arrays(
        [*rows([3.0]).columns[:1], pa.array([5]), *rows([3.0]).columns[2:]],
        names=["rack", "count", "time"],
    )
    entries: list[Entry] = [
        write(1.0),
        WriteEntry(Client(), 1, (), None, (TableRows(1, 2, wide),)),
        write(2.0),
    ]
    payload = payload_of(entries)
    _, length, _ = struct.unpack_from("<IIq", payload)

    blocks = msgpack.unpackb(payload[16 : 16 + length])[1]
    with pa.ipc.open_stream(payload[16 + length + -length % 8 :]) as reader:
        batch = reader.read_next_batch()

    assert len(blocks) == 1
    assert batch.schema.names == ["host", "rack", "load", "count", "time"]
    assert batch.column("load").to_pylist() == [1.0, None, 2.0]


def test_rows_that_share_few_columns_are_not_filled_up_with_nulls() -> None:
    times = pa.array(range(2000), pa.timestamp("ns"))
    values = pa.array(range(2000), pa.int64())
    batches = [
        pa.RecordBatch.from_arrays([values, times], names=[f"c{number % 50}", "time"])
        for number in range(60)
    ]
    entries: list[Entry] = [
        WriteEntry(Client(), 1, (), None, (TableRows(1, 2, batch),)) for batch in batches
    ]

    payload = payload_of(entries)

    assert len(payload) < 1.1 * sum(batch.nbytes for batch in batches)
    assert [entry.tables[0].rows for entry in decode(payload)] == batches  # type: ignore[union-attr]


def test_column_that_changes_its_type_within_a_record_is_refused() -> None:
    text = rows([1.0]).set_column(1, "load", pa.array(["high"]))
    other = WriteEntry(Client(), 1, (), None, (TableRows(1, 2, text),))

    with pytest.raises(InvalidEntry, match="'load' is double in one entry"):
        encode(1, [write(1.0), other])


@pytest.mark.parametrize(
    "batch",
    [
        rows([1.0]).select(["time", "host"]),
        rows([1.0]).rename_columns(["load", "load", "time"]),
        rows([1.0]).set_column(1, "load", pa.array([1], pa.int32())),
        pa.record_batch({"time": pa.array([None], pa.timestamp("ns"))}),
        pa.record_batch({"time": pa.array([1], pa.timestamp("us"))}),
        pa.record_batch({}),
    ],
)
def test_rows_of_another_layout_do_not_pass_the_check(batch: pa.RecordBatch) -> None:
    with pytest.raises(InvalidEntry):
        check_entry(WriteEntry(Client(), 1, (), None, (TableRows(1, 2, batch),)))


@pytest.mark.parametrize(
    "entry",
    [
        WriteEntry(Client(), -1, (), None, ()),
        WriteEntry(Client(), 2**64, (), None, ()),
        WriteEntry(Run(1, "r" * 257), 1, (), None, ()),
        WriteEntry(Client(), 1, (-1,), None, ()),
    ],
)
def test_numbers_out_of_range_do_not_pass_the_check(entry: Entry) -> None:
    with pytest.raises(InvalidEntry):
        check_entry(entry)


def test_large_rows_are_referred_to_and_not_copied() -> None:
    values = pa.array(range(200_000), pa.float64())
    times = pa.array(range(200_000), pa.timestamp("ns"))
    batch = pa.RecordBatch.from_arrays([values, times], names=["load", "time"])

    buffers = encode(1, [WriteEntry(Client(), 1, (), None, (TableRows(1, 2, batch),))])

    addresses = {buffer.address for buffer in buffers if isinstance(buffer, pa.Buffer)}
    assert {values.buffers()[1].address, times.buffers()[1].address} <= addresses


def test_streams_made_ahead_change_nothing() -> None:
    times = pa.array(range(50_000), pa.timestamp("ns"))
    large = pa.RecordBatch.from_arrays([pa.array(range(50_000)), times], names=["load", "time"])
    entries: list[Entry] = [
        WriteEntry(Client(), 1, (), None, (TableRows(1, 2, large), TableRows(1, 3, rows([1.0])))),
        write(2.0),
        WriteEntry(Client(), 1, (), None, (TableRows(1, 2, large.slice(1)),)),
    ]

    streams = {key: made for entry in entries for key, made in encode_ahead(entry).items()}

    assert len(streams) == 2
    plainly, ahead = encode(1, entries), encode(1, entries, streams=streams)
    assert b"".join(map(bytes, ahead)) == b"".join(map(bytes, plainly))


def test_record_past_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_PAYLOAD_BYTES", 100)

    with pytest.raises(InvalidEntry, match="over the limit of 100"):
        encode(1, [write(1.0)])


@given(st.integers(0, RECORD_HEADER_BYTES - 1), st.integers(0, 7))
def test_no_bit_of_a_record_header_can_change_unseen(place: int, bit: int) -> None:
    data = bytearray(bytes(encode(7, [write(1.0)], SEED)[0]))

    data[place] ^= 1 << bit

    assert parse_record_header(bytes(data), SEED) is None


def test_record_header_belongs_to_its_segment() -> None:
    data = bytes(encode(7, [write(1.0)], SEED)[0])

    assert parse_record_header(data, segment_seed(bytes(8))) is None


@pytest.mark.parametrize("length", [0, 12, (1 << 30) + 8])
def test_length_out_of_range_is_no_header(length: int) -> None:
    front = b"\xf7REC" + struct.pack("<IQ", length, 1)
    crc = crc32c(front + bytes(4), SEED)

    assert parse_record_header(front + struct.pack("<II", crc, 0), SEED) is None


@given(st.integers(0, SEGMENT_HEADER_BYTES - 1), st.integers(0, 7))
def test_no_bit_of_a_segment_header_can_change_unseen(place: int, bit: int) -> None:
    data = bytearray(encode_segment_header(12, SALT))

    data[place] ^= 1 << bit

    assert parse_segment_header(bytes(data)) is None


def test_bytes_of_the_format_are_as_documented() -> None:
    header = encode_segment_header(12, SALT)
    first = bytes(encode(12, [WriteEntry(Client(), 1, (), None, ())], SEED)[0])
    payload = bytes(encode(12, [WriteEntry(Client(), 1, (), None, ())], SEED)[1])

    assert header[:12] == bytes.fromhex("f7424857414c0d0a 02000000")
    assert header[16:] == SALT + (12).to_bytes(8, "little") * 2
    assert int.from_bytes(header[12:16], "little") == crc32c(header[:12] + header[16:])
    assert payload == bytes.fromhex(
        "01000000 0a000000 0000000000000000 9291960 0c001 90c090 90 000000000000".replace(" ", "")
    )
    assert first[:4] == bytes.fromhex("f7524543")
    assert struct.unpack("<IQ", first[4:16]) == (len(payload), 12)
    assert struct.unpack("<I", first[20:]) == (crc32c(payload, crc32c(SALT)),)
    assert struct.unpack("<I", first[16:20]) == (crc32c(first[:16] + first[20:], crc32c(SALT)),)
