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
from engine.storage.buffer import HotBuffer, Slice

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


def batches(buffer: HotBuffer) -> tuple[pa.RecordBatch, ...]:
    return buffer.snapshot(CPU, SCHEMA).batches


def read(buffer: HotBuffer, *wanted: object, until: int | None = None) -> Slice:
    """Do as `HotBuffer.read`, where all that is asked for is in memory."""
    found = buffer.read(*wanted, until=until)  # type: ignore[arg-type]
    assert found is not None
    return found


def viewed(buffer: HotBuffer, schema: TableSchema = SCHEMA) -> list[Row]:
    return [row for rows in buffer.snapshot(CPU, schema).batches for row in plain(rows)]


def test_entries_without_rows_still_take_a_sequence_number() -> None:
    buffer = HotBuffer()

    buffer.append(1, [CheckpointEntry({}, {}, {}, ()), run_without_rows()])

    assert buffer.end == 3
    assert read(buffer, 1, DB, None, 10, LARGE).tables == ()
    assert read(buffer, 1, DB, None, 10, LARGE).end == 3


def test_log_may_begin_above_one_but_never_goes_back() -> None:
    buffer = HotBuffer()
    buffer.append(40, [cpu(1)])

    with pytest.raises(ValueError, match="entry 40 comes after entry 40"):
        buffer.append(40, [cpu(2)])

    assert buffer.end == 41


def test_read_gives_rows_in_order_of_arrival_with_duplicates() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(5, 3), cpu(3)])

    found = read(buffer, 1, DB, None, 10, LARGE)

    assert found.end == 3
    assert [(t, plain(rows)) for t, rows in found.tables] == [
        (CPU, [{"host": "a", "usage": float(t), "time": t} for t in (5, 3, 3)])
    ]


def test_read_gives_tables_in_order_of_first_write() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((MEM, [{"time": 1}]), (CPU, [{"time": 2}])), cpu(3)])

    assert [t for t, _ in read(buffer, 1, DB, None, 10, LARGE).tables] == [CPU, MEM]
    assert [t for t, _ in read(buffer, 2, DB, None, 10, LARGE).tables] == [MEM, CPU]


def test_read_keeps_only_columns_with_values_in_the_range() -> None:
    buffer = HotBuffer()
    rows: list[Row] = [{"note": "n", "time": 1}, {"usage": 1.0, "host": "a", "time": 2}]
    buffer.append(1, [write((CPU, [row])) for row in rows])

    first, both = (read(buffer, 1, DB, None, n, LARGE).tables[0][1] for n in (1, 2))

    assert first.schema.names == ["note", "time"]
    assert both.schema.names == ["host", "note", "usage", "time"]


def test_read_is_cut_between_entries() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1, 2), write((MEM, [{"time": 3}])), cpu(4)])

    found = read(buffer, 1, DB, None, 3, LARGE)

    assert found.end == 3
    assert [(t, rows.num_rows) for t, rows in found.tables] == [(CPU, 2), (MEM, 1)]
    assert read(buffer, 1, DB, None, 2, LARGE).end == 2
    assert read(buffer, 3, DB, None, 2, LARGE).end == 4


def test_entry_larger_than_the_limit_is_delivered_whole() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1, 2, 3), cpu(4)])

    found = read(buffer, 1, DB, None, 1, LARGE)

    assert (found.end, found.tables[0][1].num_rows) == (2, 3)


def test_read_stops_at_the_limit_of_bytes() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(100)), cpu(*range(100)), cpu(*range(100))])

    max_bytes = 2 * int(cpu(*range(100)).tables[0].rows.nbytes)
    found = read(buffer, 1, DB, None, 1000, max_bytes)

    assert (found.end, found.tables[0][1].num_rows) == (3, 200)


def test_cut_before_an_entry_covers_entries_of_other_tables_on_the_way() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((MEM, [{"time": 3}])), run_without_rows(), cpu(4)])

    assert read(buffer, 1, DB, frozenset({CPU}), 1, LARGE).end == 4
    assert read(buffer, 4, DB, frozenset({CPU}), 1, LARGE).end == 5


def test_read_ends_before_the_bound_it_is_given() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), cpu(2), run_without_rows(), cpu(4)])

    part = read(buffer, 1, DB, None, LARGE, LARGE, until=3)
    rest = read(buffer, 3, DB, None, LARGE, LARGE, until=4)

    assert (part.end, part.tables[0][1].num_rows) == (3, 2)
    assert (rest.end, rest.tables) == (4, ())


def test_read_sees_only_the_tables_and_the_database_asked_for() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((30, [{"time": 1}]), database_id=2)])

    assert [t for t, _ in read(buffer, 1, 2, None, 9, LARGE).tables] == [30]
    assert read(buffer, 1, DB, frozenset({MEM}), 9, LARGE).tables == ()


def test_causes_are_the_shortest_chain_among_matching_entries() -> None:
    buffer = HotBuffer()
    chains: list[tuple[int, ...]] = [(1, 2, 3), (4, 5), ()]
    entries: list[Entry] = [write((CPU, [{"time": 1}]), causes=c) for c in chains]
    buffer.append(1, [*entries, write((MEM, [{"time": 1}]), causes=(9,))])

    assert read(buffer, 1, DB, None, 1, LARGE).causes == (1, 2, 3)
    assert read(buffer, 1, DB, None, 2, LARGE).causes == (4, 5)
    assert read(buffer, 1, DB, None, 3, LARGE).causes == ()
    assert read(buffer, 4, DB, None, 3, LARGE).causes == (9,)
    assert read(buffer, 2, DB, frozenset({MEM}), 3, LARGE).causes == (9,)


def test_two_blocks_of_one_table_in_one_entry_are_not_cut() -> None:
    buffer = HotBuffer()
    buffer.append(1, [write((CPU, [{"time": 1}]), (CPU, [{"time": 2}])), cpu(3)])

    found = read(buffer, 1, DB, None, 1, LARGE)

    assert (found.end, found.tables[0][1].num_rows) == (2, 2)


def test_snapshot_is_the_same_object_until_rows_come() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1)])
    first = batches(buffer)
    buffer.append(2, [write((MEM, [{"time": 1}]))])

    assert batches(buffer) is first
    buffer.append(3, [cpu(2)])
    assert batches(buffer) is not first


def test_snapshot_has_the_columns_of_the_schema_sorted_by_name_with_metadata() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1)])

    (rows,) = batches(buffer)

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
    batches(buffer)
    buffer.append(2, [write((CPU, [{"host": "a", "usage": 2.0, "time": 5}]))])

    assert [row["host"] for row in viewed(buffer)] == [None, "a"]


def test_unchanged_pieces_are_shared_between_snapshots() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(60_000))])
    (old,) = batches(buffer)
    buffer.append(2, [cpu(60_001)])

    first, second = batches(buffer)

    assert first is old
    assert second.num_rows == 1


def test_rows_after_the_last_time_split_off_only_the_overlapped_end() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(*range(60_000))])
    batches(buffer)
    buffer.append(2, [cpu(59_000, 60_000)])

    assert [rows.num_rows for rows in batches(buffer)] == [59_000, 1001]


def test_many_small_writes_become_few_chunks() -> None:
    buffer = HotBuffer()
    for sequence in range(1, 2001):
        buffer.append(sequence, [cpu(sequence)])

    found = read(buffer, 1, DB, None, 10_000, LARGE)

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
    assert (buffer.bytes, buffer.rows_of(CPU), batches(buffer)) == (0, 0, ())


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

    shown = batches(buffer)

    found = [tuple(row.values()) for rows in shown for row in plain(rows)]
    assert len(found) == len(set(found))
    assert set(found) == merged_by_dict(row for rows, _ in writes for row in rows)
    times = [[row["time"] for row in plain(rows)] for rows in shown]
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
        part = read(buffer, position, DB, None, max_rows, LARGE)
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
            seen = sum(rows.num_rows for rows in batches(buffer))
            got = sum(rows.num_rows for _, rows in read(buffer, 1, DB, None, 10_000, LARGE).tables)
            odd.extend(n for n in (seen, got) if n < least or n % 2)

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


def test_what_was_taken_leaves_and_what_came_meanwhile_stays() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), cpu(2, 3), write((MEM, [{"time": 4}]))])
    taken = buffer.take(CPU)
    buffer.append(4, [cpu(5)])
    assert taken is not None
    buffer.drop_persisted(CPU, taken.end)

    assert [row["time"] for rows in taken.rows for row in plain(rows)] == [1, 2, 3]
    assert taken.end == 3
    assert [row["time"] for row in viewed(buffer)] == [5]
    assert buffer.snapshot(CPU, SCHEMA).start == 3
    assert buffer.first_sequence() == 3  # the row of mem
    assert {load.table_id: load.rows for load in buffer.tables()} == {CPU: 1, MEM: 1}


def test_a_reader_from_below_the_start_is_sent_to_the_log() -> None:
    buffer = HotBuffer()
    buffer.append(1, [cpu(1), write((MEM, [{"time": 4}])), cpu(2)])
    buffer.drop_persisted(CPU, 2)

    assert buffer.read(1, DB, frozenset({CPU}), 9, LARGE) is None
    assert buffer.read(1, DB, None, 9, LARGE) is None
    assert len(read(buffer, 1, DB, frozenset({MEM}), 9, LARGE).tables) == 1
    assert plain(read(buffer, 2, DB, frozenset({CPU}), 9, LARGE).tables[0][1])[0]["time"] == 2
    buffer.drop_table(CPU)
    assert buffer.read(1, DB, None, 9, LARGE) is None  # the table is gone, its rows were there


def test_rows_that_are_in_files_are_passed_over_when_the_log_is_read_again() -> None:
    buffer = HotBuffer()
    buffer.start_at(DB, CPU, 3)
    buffer.append(2, [cpu(1), cpu(2)])

    assert [row["time"] for row in viewed(buffer)] == [2]
    assert (buffer.end, buffer.first_sequence()) == (4, 3)
    assert buffer.read(2, DB, frozenset({CPU}), 9, LARGE) is None


def test_part_of_a_table_is_taken_at_the_end_of_an_entry() -> None:
    buffer = HotBuffer()
    for sequence in range(1, 4):
        rows = [{"time": t, "usage": 1.0} for t in range(40_000)]
        buffer.append(sequence, [write((CPU, rows), (CPU, [{"time": 1, "note": "n"}]))])
    taken = buffer.take(CPU, max_bytes=1)

    assert taken is not None
    assert [rows.num_rows for rows in taken.rows] == [40_000, 1]
    assert taken.end == 2
    buffer.drop_persisted(CPU, taken.end)
    assert buffer.rows_of(CPU) == 80_002
    assert buffer.first_sequence() == 2


def test_sealed_rows_are_not_joined_with_later_ones() -> None:
    buffer = HotBuffer()
    for sequence in range(1, 21):
        buffer.append(sequence, [cpu(sequence)])
    taken = buffer.take(CPU)
    for sequence in range(21, 61):
        buffer.append(sequence, [cpu(sequence)])
    assert taken is not None
    kept = cpu(*range(21, 61)).tables[0].rows.nbytes
    buffer.drop_persisted(CPU, taken.end)

    assert [row["time"] for row in viewed(buffer)] == list(range(21, 61))
    assert buffer.rows_of(CPU) == 40
    assert buffer.bytes < 10 * (kept + 3000)


def test_nothing_is_left_of_a_table_whose_rows_are_all_in_files() -> None:
    buffer = HotBuffer()
    buffer.append(1, [write((CPU, [{"time": 1}]), causes=(7,)), write((MEM, [{"time": 1}]))])
    buffer.drop_persisted(CPU, 2)
    buffer.drop_persisted(MEM, 3)

    assert (buffer.bytes, buffer.tables(), buffer.first_sequence()) == (0, (), 3)
    assert buffer.take(CPU) is None
    assert buffer._causes == {}  # noqa: SLF001  (nothing else shows a leak of these)


def test_the_oldest_row_tells_its_age() -> None:
    now = [5.0]
    buffer = HotBuffer(lambda: now[0])
    buffer.append(1, [cpu(1)])
    now[0] = 8.0
    buffer.append(2, [cpu(2)])
    before = buffer.tables()[0].oldest_s
    taken = buffer.take(CPU)
    now[0] = 9.0
    buffer.append(3, [cpu(3)])
    assert taken is not None
    buffer.drop_persisted(CPU, taken.end)

    assert (before, buffer.tables()[0].oldest_s) == (5.0, 8.0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(points, min_size=1, max_size=4), st.integers(0, 3)), max_size=60)
)
def test_taken_and_kept_rows_together_are_all_rows_in_order(
    steps: list[tuple[list[Row], int]],
) -> None:
    buffer = HotBuffer()
    gone: list[Row] = []
    taken = None
    for sequence, (rows, step) in enumerate(steps, 1):
        buffer.append(sequence, [write((CPU, rows))])
        if step == 1:
            taken = buffer.take(CPU, max_bytes=5000)
        if step == 2 and taken is not None:
            gone += [row for rows in taken.rows for row in plain(rows)]
            buffer.drop_persisted(CPU, taken.end)
            taken = None
    start = buffer.snapshot(CPU, SCHEMA).start
    kept = read(buffer, start, DB, None, LARGE, LARGE)

    found = gone + [row for _, rows in kept.tables for row in plain(rows)]
    given_only = [{k: v for k, v in row.items() if v is not None} for row in found]
    assert given_only == [row for rows, _ in steps for row in rows]


def persist_until(done: threading.Event, buffer: HotBuffer, gone: list[Row]) -> None:
    is_last = False
    while not is_last:
        is_last = done.is_set()
        if (taken := buffer.take(CPU, max_bytes=20_000)) is not None:
            gone.extend(row for rows in taken.rows for row in plain(rows))
            buffer.drop_persisted(CPU, taken.end)


def look_until(done: threading.Event, buffer: HotBuffer, odd: list[object]) -> None:
    while not done.is_set():
        shown = buffer.snapshot(CPU, SCHEMA)
        times = [row["time"] for rows in shown.batches[:1] for row in plain(rows)]
        if times and times[0] != 2 * max(shown.start, 1):
            odd.append((times[0], shown.start))


def test_rows_that_leave_beside_a_writer_and_readers_are_neither_lost_nor_doubled() -> None:
    buffer, done = HotBuffer(), threading.Event()
    gone: list[Row] = []
    odd: list[object] = []
    threads = [
        threading.Thread(target=persist_until, args=(done, buffer, gone)),
        threading.Thread(target=look_until, args=(done, buffer, odd)),
    ]
    for thread in threads:
        thread.start()
    for sequence in range(1, 401):
        buffer.append(sequence, [cpu(2 * sequence, 2 * sequence + 1)])
    done.set()
    for thread in threads:
        thread.join()
    found = read(buffer, buffer.snapshot(CPU, SCHEMA).start, DB, None, LARGE, LARGE)
    kept = [row for _, rows in found.tables for row in plain(rows)]

    assert [row["time"] for row in gone + kept] == list(range(2, 802))
    assert odd == []
