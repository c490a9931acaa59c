from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.entry import (
    CheckpointEntry,
    Client,
    Entry,
    Position,
    Run,
    RunEntry,
    TableRows,
    WriteEntry,
)
from engine.model.schema import Column, ColumnType, TableSchema
from engine.storage.buffer import HotBuffer

SCHEMA = TableSchema(
    (
        Column("host", ColumnType.TAG),
        Column("usage", ColumnType.FLOAT),
        Column("Count", ColumnType.UINTEGER),
        Column("note", ColumnType.STRING),
    )
)
DB = 1
CPU, MEM = 10, 11
LARGE = 2**40

Row = dict[str, object]


def batch(rows: Iterable[Row]) -> pa.RecordBatch:
    """Rows as they are written: only columns with values, tags first, `time` last."""
    rows = list(rows)
    names = [c.name for c in SCHEMA.columns if any(row.get(c.name) is not None for row in rows)] + [
        "time"
    ]
    fields = [pa.field(name, SCHEMA.type_of(name).arrow) for name in names]  # type: ignore[union-attr]
    return pa.RecordBatch.from_pylist(rows, schema=pa.schema(fields))


def plain(rows: pa.RecordBatch) -> list[Row]:
    names = rows.schema.names
    columns = [
        column.cast(pa.int64()) if name == "time" else column
        for name, column in zip(names, rows.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=names).to_pylist()


def write(
    *tables: tuple[int, list[Row]], causes: tuple[int, ...] = (), database_id: int = DB
) -> WriteEntry:
    parts = tuple(TableRows(database_id, table, batch(rows)) for table, rows in tables)
    return WriteEntry(Client(), database_id, causes, None, parts)


def run_without_rows() -> RunEntry:
    return RunEntry(Run(7, "r"), DB, (7,), Position(3), ())


def cpu(*times: int) -> WriteEntry:
    return write((CPU, [{"host": "a", "usage": float(t), "time": t} for t in times]))


def viewed(buffer: HotBuffer, schema: TableSchema = SCHEMA) -> list[Row]:
    return [row for rows in buffer.snapshot(CPU, schema) for row in plain(rows)]


def test_entries_without_rows_still_take_a_sequence_number() -> None:
    buffer = HotBuffer()

    buffer.append(1, [CheckpointEntry({}, {}, {}, ()), run_without_rows()])

    assert buffer.end == 3
    assert buffer.read(1, DB, None, 10, LARGE).tables == ()
    assert buffer.read(1, DB, None, 10, LARGE).end == 3


def test_log_may_begin_above_one_but_never_goes_back() -> None:
    buffer = HotBuffer()
    buffer.append(40, [cpu(1)])

    with pytest.raises(ValueError, match="entry 40 comes after entry 40"):
        buffer.append(40, [cpu(2)])

    assert buffer.end == 41


def test_read_gives_rows_in_order_of_arrival_with_duplicates() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(5, 3), cpu(3)])

    found = buffer.read(1, DB, None, 10, LARGE)

    assert found.end == 3
    assert [(t, plain(rows)) for t, rows in found.tables] == [
        (CPU, [{"host": "a", "usage": float(t), "time": t} for t in (5, 3, 3)])
    ]


def test_read_gives_tables_in_order_of_first_write() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((MEM, [{"time": 1}]), (CPU, [{"time": 2}])), cpu(3)])

    assert [t for t, _ in buffer.read(1, DB, None, 10, LARGE).tables] == [CPU, MEM]
    assert [t for t, _ in buffer.read(2, DB, None, 10, LARGE).tables] == [MEM, CPU]


def test_read_keeps_only_columns_with_values_in_the_range() -> None:
    buffer = HotBuffer()
    rows: list[Row] = [{"note": "n", "time": 1}, {"usage": 1.0, "host": "a", "time": 2}]
    buffer.append(1, [write((CPU, [row])) for row in rows])

    first, both = (buffer.read(1, DB, None, n, LARGE).tables[0][1] for n in (1, 2))

    assert first.schema.names == ["note", "time"]
    assert both.schema.names == ["host", "note", "usage", "time"]


def test_read_is_cut_between_entries() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1, 2), write((MEM, [{"time": 3}])), cpu(4)])

    found = buffer.read(1, DB, None, 3, LARGE)

    assert found.end == 3
    assert [(t, rows.num_rows) for t, rows in found.tables] == [(CPU, 2), (MEM, 1)]
    assert buffer.read(1, DB, None, 2, LARGE).end == 2
    assert buffer.read(3, DB, None, 2, LARGE).end == 4


def test_entry_larger_than_the_limit_is_delivered_whole() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1, 2, 3), cpu(4)])

    found = buffer.read(1, DB, None, 1, LARGE)

    assert (found.end, found.tables[0][1].num_rows) == (2, 3)


def test_read_stops_at_the_limit_of_bytes() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(100)), cpu(*range(100)), cpu(*range(100))])

    max_bytes = 2 * int(cpu(*range(100)).tables[0].rows.nbytes)
    found = buffer.read(1, DB, None, 1000, max_bytes)

    assert (found.end, found.tables[0][1].num_rows) == (3, 200)


def test_cut_before_an_entry_covers_entries_of_other_tables_on_the_way() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((MEM, [{"time": 3}])), run_without_rows(), cpu(4)])

    assert buffer.read(1, DB, frozenset({CPU}), 1, LARGE).end == 4
    assert buffer.read(4, DB, frozenset({CPU}), 1, LARGE).end == 5


def test_read_ends_before_the_bound_it_is_given() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), cpu(2), run_without_rows(), cpu(4)])

    part = buffer.read(1, DB, None, LARGE, LARGE, until=3)
    rest = buffer.read(3, DB, None, LARGE, LARGE, until=4)

    assert (part.end, part.tables[0][1].num_rows) == (3, 2)
    assert (rest.end, rest.tables) == (4, ())


def test_read_sees_only_the_tables_and_the_database_asked_for() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((30, [{"time": 1}]), database_id=2)])

    assert [t for t, _ in buffer.read(1, 2, None, 9, LARGE).tables] == [30]
    assert buffer.read(1, DB, frozenset({MEM}), 9, LARGE).tables == ()


def test_causes_are_the_shortest_chain_among_matching_entries() -> None:
    buffer = HotBuffer()
    chains: list[tuple[int, ...]] = [(1, 2, 3), (4, 5), ()]
    entries: list[Entry] = [write((CPU, [{"time": 1}]), causes=c) for c in chains]
    buffer.append(1, [*entries, write((MEM, [{"time": 1}]), causes=(9,))])

    assert buffer.read(1, DB, None, 1, LARGE).causes == (1, 2, 3)
    assert buffer.read(1, DB, None, 2, LARGE).causes == (4, 5)
    assert buffer.read(1, DB, None, 3, LARGE).causes == ()
    assert buffer.read(4, DB, None, 3, LARGE).causes == (9,)
    assert buffer.read(2, DB, frozenset({MEM}), 3, LARGE).causes == (9,)


def test_two_blocks_of_one_table_in_one_entry_are_not_cut() -> None:
    buffer = HotBuffer()
    buffer.append(1, [write((CPU, [{"time": 1}]), (CPU, [{"time": 2}])), cpu(3)])

    found = buffer.read(1, DB, None, 1, LARGE)

    assert (found.end, found.tables[0][1].num_rows) == (2, 2)


def test_snapshot_is_the_same_object_until_rows_come() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1)])
    first = buffer.snapshot(CPU, SCHEMA)
    buffer.append(2, [write((MEM, [{"time": 1}]))])

    assert buffer.snapshot(CPU, SCHEMA) is first
    buffer.append(3, [cpu(2)])
    assert buffer.snapshot(CPU, SCHEMA) is not first


def test_snapshot_has_the_columns_of_the_schema_sorted_by_name_with_metadata() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1)])

    (rows,) = buffer.snapshot(CPU, SCHEMA)

    assert rows.schema.equals(SCHEMA.arrow, check_metadata=True)
    assert plain(rows) == [{"Count": None, "host": "a", "note": None, "time": 1, "usage": 1.0}]


def test_column_that_an_older_schema_does_not_know_is_not_lost() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((CPU, [{"note": "new", "time": 1, "host": "a"}]))])
    older = TableSchema(SCHEMA.columns[:2])

    assert viewed(buffer, older) == [{"host": "a", "time": 1, "usage": 1.0}]
    assert viewed(buffer)[0]["note"] == "new"
    assert viewed(buffer, older) == [{"host": "a", "time": 1, "usage": 1.0}]


def test_new_tag_separates_series_from_rows_without_it() -> None:
    buffer = HotBuffer()
    buffer.append(1, [write((CPU, [{"usage": 1.0, "time": 5}]))])
    buffer.snapshot(CPU, SCHEMA)
    buffer.append(2, [write((CPU, [{"host": "a", "usage": 2.0, "time": 5}]))])

    assert [row["host"] for row in viewed(buffer)] == [None, "a"]


def test_unchanged_pieces_are_shared_between_snapshots() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(60_000))])
    (old,) = buffer.snapshot(CPU, SCHEMA)
    buffer.append(2, [cpu(60_001)])

    first, second = buffer.snapshot(CPU, SCHEMA)

    assert first is old
    assert second.num_rows == 1


def test_rows_after_the_last_time_split_off_only_the_overlapped_end() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(60_000))])
    buffer.snapshot(CPU, SCHEMA)
    buffer.append(2, [cpu(59_000, 60_000)])

    assert [rows.num_rows for rows in buffer.snapshot(CPU, SCHEMA)] == [59_000, 1001]


def test_many_small_writes_become_few_chunks() -> None:
    buffer = HotBuffer()
    for sequence in range(1, 2001):
        buffer.append(sequence, [cpu(sequence)])

    found = buffer.read(1, DB, None, 10_000, LARGE)

    assert [row["time"] for row in plain(found.tables[0][1])] == list(range(1, 2001))
    assert len(buffer._tables[CPU].rows.chunks) < 100  # noqa: SLF001
    assert buffer.rows_of(CPU) == 2000


def test_bytes_follow_the_rows_and_a_dropped_table() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(10_000)), write((MEM, [{"time": 1}]))])
    both = buffer.bytes
    buffer.drop_table(MEM)

    nbytes = cpu(*range(10_000)).tables[0].rows.nbytes
    assert nbytes < buffer.bytes < min(both, nbytes * 1.1)
    buffer.drop_table(CPU)
    assert (buffer.bytes, buffer.rows_of(CPU), buffer.snapshot(CPU, SCHEMA)) == (0, 0, ())


def test_bytes_count_what_tiny_writes_take_beside_their_values() -> None:
    buffer, joined = HotBuffer(), HotBuffer()
    for sequence in range(1, 1001):
        buffer.append(sequence, [write((sequence, [{"time": 1, "usage": 1.0}]))])
        joined.append(sequence, [write((CPU, [{"time": sequence, "usage": 1.0}]))])

    assert buffer.bytes > 1_000_000  # 2000 arrays
    assert joined.bytes < 200_000  # as many rows in few chunks
    assert joined.bytes == sum(t.rows.memory_bytes for t in joined._tables.values())  # noqa: SLF001


points = st.fixed_dictionaries(
    {"time": st.integers(0, 40)},
    optional={
        "host": st.sampled_from(["a", "b"]),
        "usage": st.floats(allow_nan=False),
        "Count": st.integers(0, 2**64 - 1),
        "note": st.text(max_size=2),
    },
)


def merged_by_dict(rows: Iterable[Row]) -> set[tuple[object, ...]]:
    found: dict[object, Row] = {}
    for row in rows:
        found.setdefault((row.get("host"), row["time"]), {}).update(row)
    return {tuple(row.get(n) for n in SCHEMA.arrow.names) for row in found.values()}


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(points, min_size=1, max_size=6), st.booleans()), max_size=12))
def test_view_equals_a_dict_of_points_however_often_it_is_asked(
    writes: list[tuple[list[Row], bool]],
) -> None:
    buffer = HotBuffer()
    for sequence, (rows, is_asked) in enumerate(writes, 1):
        buffer.append(sequence, [write((CPU, rows))])
        if is_asked:
            viewed(buffer)

    batches = buffer.snapshot(CPU, SCHEMA)

    found = [tuple(row.values()) for rows in batches for row in plain(rows)]
    assert len(found) == len(set(found))
    assert set(found) == merged_by_dict(row for rows, _ in writes for row in rows)
    times = [[row["time"] for row in plain(rows)] for rows in batches]
    assert sum(times, []) == sorted(sum(times, []))  # noqa: RUF017
    assert all(a[-1] < b[0] for a, b in pairwise(times))  # type: ignore[operator]


@settings(deadline=None)
@given(
    st.lists(st.lists(points, min_size=1, max_size=5), min_size=1, max_size=40),
    st.integers(1, 30),
)
def test_reading_on_from_each_end_gives_every_row_once(
    writes: list[list[Row]], max_rows: int
) -> None:
    buffer = HotBuffer()
    for sequence, rows in enumerate(writes, 1):
        buffer.append(sequence, [write((CPU, rows))])
    position, found = 1, []
    while position < buffer.end:
        part = buffer.read(position, DB, None, max_rows, LARGE)
        assert part.tables[0][1].num_rows <= max_rows or part.end == position + 1
        found += plain(part.tables[0][1])
        position = part.end

    expected = [row for rows in writes for row in rows]
    given_only = [{k: v for k, v in row.items() if v is not None} for row in found]
    assert given_only == expected


def test_readers_beside_a_writer_always_see_whole_entries() -> None:
    buffer = HotBuffer()
    done = threading.Event()
    odd: list[int] = []

    def look() -> None:
        while not done.is_set():
            least = 2 * (buffer.end - 1)
            seen = sum(rows.num_rows for rows in buffer.snapshot(CPU, SCHEMA))
            read = sum(rows.num_rows for _, rows in buffer.read(1, DB, None, 10_000, LARGE).tables)
            odd.extend(n for n in (seen, read) if n < least or n % 2)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for sequence in range(1, 301):
        buffer.append(sequence, [cpu(2 * sequence, 2 * sequence + 1)])
    done.set()
    for reader in readers:
        reader.join()

    assert odd == []
    assert len(viewed(buffer)) == 600


def test_repr_is_a_sentence_of_the_state() -> None:
    assert repr(HotBuffer()) == "<HotBuffer: 0 tables, 0 bytes, end 1>"
