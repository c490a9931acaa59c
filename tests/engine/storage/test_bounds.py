from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.schema import Column, ColumnType, TableSchema
from engine.storage.bounds import Bound
from engine.storage.buffer import HotBuffer

SCHEMA = TableSchema((Column("n", ColumnType.INTEGER),))
DB, BOUND, FREE = 1, 10, 11
CHUNK_ROWS = 65_536


def rows(times: range, table: int = BOUND) -> WriteEntry:
    """One entry with a row for each time, in nanoseconds; `n` is the time again."""
    columns = {
        "n": pa.array(times, pa.int64()),
        "time": pa.array(times, pa.int64()).cast(pa.timestamp("ns")),
    }
    part = TableRows(DB, table, pa.RecordBatch.from_pydict(columns))
    return WriteEntry(Client(), DB, (), None, (part,))


def buffer_with(bound: Bound) -> HotBuffer:
    buffer = HotBuffer()
    buffer.bind(BOUND, bound)
    return buffer


def seen(buffer: HotBuffer) -> list[int]:
    return [n for part in buffer.snapshot(BOUND, SCHEMA) for n in part["n"].to_pylist()]


def read(buffer: HotBuffer, position: int) -> list[int]:
    found = buffer.read(position, DB, frozenset({BOUND}), 10**9, 10**12)
    return [n for _, part in found.tables for n in part["n"].to_pylist()]


def nothing_is_too_old() -> int | None:
    return None


def test_whole_chunks_beyond_the_number_of_rows_are_let_go_the_oldest_first() -> None:
    buffer = buffer_with(Bound(nothing_is_too_old, keep_rows=100_000))
    for number in range(5):
        buffer.append(1 + number, [rows(range(number * 60_000, (number + 1) * 60_000))])

    assert buffer.rows_of(BOUND) == 120_000
    assert seen(buffer) == list(range(180_000, 300_000))


def test_events_are_read_from_the_rows_that_are_left() -> None:
    buffer = buffer_with(Bound(nothing_is_too_old, keep_rows=60_000))
    for number in range(3):
        buffer.append(1 + number, [rows(range(number * 60_000, (number + 1) * 60_000))])
    buffer.append(4, [rows(range(180_000, 180_003))])

    assert read(buffer, 1) == list(range(120_000, 180_003))
    assert read(buffer, 4) == [180_000, 180_001, 180_002]
    cut = buffer.read(1, DB, None, 60_000, 10**12)
    assert (cut.end, cut.tables[0][1].num_rows) == (4, 60_000)


def test_chunks_past_the_retention_are_let_go_when_rows_come() -> None:
    oldest_ns = 0
    buffer = buffer_with(Bound(lambda: oldest_ns))
    buffer.append(1, [rows(range(60_000)), rows(range(60_000, 120_000))])

    oldest_ns = 59_999
    buffer.append(3, [rows(range(120_000, 120_001))])
    assert buffer.rows_of(BOUND) == 120_001

    oldest_ns = 60_000
    buffer.append(4, [rows(range(120_001, 120_002))])
    assert seen(buffer) == list(range(60_000, 120_002))


def test_everything_may_be_too_old_and_rows_still_come() -> None:
    buffer = buffer_with(Bound(lambda: 100))
    buffer.append(1, [rows(range(50))])
    assert (seen(buffer), read(buffer, 1), buffer.rows_of(BOUND)) == ([], [], 0)

    buffer.append(2, [rows(range(100, 103))])

    assert (seen(buffer), read(buffer, 1)) == ([100, 101, 102], [100, 101, 102])


def test_memory_of_what_is_let_go_counts_no_more() -> None:
    bound, free = buffer_with(Bound(nothing_is_too_old, keep_rows=60_000)), HotBuffer()
    for number in range(4):
        bound.append(1 + number, [rows(range(60_000))])
    free.append(1, [rows(range(60_000))])

    assert bound.bytes == pytest.approx(free.bytes, rel=0.01)


def test_a_view_that_was_taken_before_stays_whole() -> None:
    buffer = buffer_with(Bound(nothing_is_too_old, keep_rows=60_000))
    buffer.append(1, [rows(range(60_000))])
    before = buffer.snapshot(BOUND, SCHEMA)

    buffer.append(2, [rows(range(60_000, 120_000))])

    assert sum(part.num_rows for part in before) == 60_000
    assert seen(buffer) == list(range(60_000, 120_000))


def test_other_tables_are_left_alone() -> None:
    buffer = buffer_with(Bound(nothing_is_too_old, keep_rows=1))
    for number in range(3):
        buffer.append(1 + number, [rows(range(CHUNK_ROWS), FREE)])

    assert buffer.rows_of(FREE) == 3 * CHUNK_ROWS


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 200))
def test_at_least_the_newest_rows_are_there_in_view_and_events(
    sizes: list[int], keep_rows: int
) -> None:
    buffer = buffer_with(Bound(nothing_is_too_old, keep_rows=keep_rows))
    written = 0
    for sequence, size in enumerate(sizes, 1):
        buffer.append(sequence, [rows(range(written, written + size))])
        written += size

    kept = seen(buffer)
    assert kept == list(range(written - len(kept), written))
    assert len(kept) >= min(keep_rows, written)
    assert read(buffer, 1) == kept
