import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.workers.encode import encode_result, encode_table
from worker.rows import result_rows, rows_of
from worker.wire import decode, encode
from worker.wire import messages as m

DATES_BY_NAME = pa.map_(pa.utf8(), pa.date32())
TAG = pa.dictionary(pa.int32(), pa.utf8())
NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
NOON_NS = 1_577_880_000_000_000_000


def _over_the_wire(block: m.Block) -> m.Block:
    reply = decode(encode(m.QueryReply(block)))
    assert isinstance(reply, m.QueryReply)
    return reply.block


def _result(array: pa.Array) -> list[object]:
    block = _over_the_wire(encode_result(pa.table({"c": array})))
    return [row["c"] for row in result_rows(block)]


CELLS = st.fixed_dictionaries(
    {
        "tag": st.none() | st.sampled_from(["a", "b", "grüße", ""]),
        "int": st.none() | st.integers(-(2**63), 2**63 - 1),
        "uint": st.none() | st.integers(0, 2**64 - 1),
        "float": st.none() | st.floats(allow_nan=False),
        "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        "bool": st.none() | st.booleans(),
        "time": st.integers(0, 2**60),
    }
)
SCHEMA = pa.schema(
    {
        "tag": TAG,
        "int": pa.int64(),
        "uint": pa.uint64(),
        "float": pa.float64(),
        "text": pa.utf8(),
        "bool": pa.bool_(),
        "time": pa.timestamp("ns"),
    }
)


@given(st.lists(CELLS, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_rows_of_any_slice_are_what_was_written(
    rows: list[dict[str, object]], start: int, length: int
) -> None:
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA).slice(min(start, len(rows)), length)

    got = rows_of(_over_the_wire(encode_table("t", batch)))

    wanted = [
        {name: cell for name, cell in row.items() if cell is not None}
        for row in rows[start : start + length]
    ]
    assert got == wanted
    assert [list(row) for row in got] == [sorted(row, key=SCHEMA.names.index) for row in wanted]


@given(st.lists(CELLS, max_size=8), st.integers(0, 8))
def test_a_result_in_chunks_keeps_every_column_with_none(
    rows: list[dict[str, object]], cut: int
) -> None:
    whole = pa.Table.from_pylist(rows, SCHEMA)
    table = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])

    assert result_rows(_over_the_wire(encode_result(table))) == rows


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([1, None, -3], pa.int8()), [1, None, -3]),
        (pa.array([1, None, 3], pa.uint32()), [1, None, 3]),
        (pa.array([1.5, None], pa.float16()), [1.5, None]),
        (pa.array([0.5, None], pa.float32()), [0.5, None]),
        (pa.array([decimal.Decimal("1.25"), None]), [1.25, None]),
        (pa.array([NOON, None], pa.timestamp("s", "UTC")), [NOON_NS, None]),
        (pa.array([NOON, None], pa.timestamp("us")), [NOON_NS, None]),
        (pa.array([NOON_NS], pa.timestamp("ns", "Europe/Berlin")), [NOON_NS]),
        (pa.array([2**62], pa.timestamp("s")), [2**62 * 1e9]),
        (pa.array([dt.date(2020, 1, 2), None]), ["2020-01-02", None]),
        (pa.array([dt.date(2020, 1, 2)], pa.date64()), ["2020-01-02"]),
        (pa.array([dt.time(1, 2, 3), None], pa.time32("s")), ["01:02:03", None]),
        (pa.array([5, None], pa.duration("ms")), [5_000_000, None]),
        (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), [[1, 2, 3], None]),
        (pa.array(["é", None], pa.large_string()), ["é", None]),
        (pa.array(["é", None], pa.string_view()), ["é", None]),
        (pa.array([b"\xff", None], pa.binary()), [b"\xff", None]),
        (pa.array([b"\xff"], pa.binary_view()), [b"\xff"]),
        (pa.array([5, 6, None, 5]).dictionary_encode(), [5, 6, None, 5]),
        (pa.array(["a", None], pa.large_string()).dictionary_encode(), ["a", None]),
        (pa.array([[NOON, None], None], pa.list_(pa.timestamp("us"))), [[NOON_NS, None], None]),
        (pa.array([{"a": 1, "b": NOON}, None]), [{"a": 1, "b": NOON_NS}, None]),
        (pa.array([[("k", dt.date(1970, 1, 2))]], DATES_BY_NAME), [{"k": "1970-01-02"}]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [[1, 2], None]),
        (pa.array([[decimal.Decimal("0.5")]]), [[0.5]]),
        (pa.nulls(2), [None, None]),
        (pa.nulls(2, pa.list_(pa.int8())), [None, None]),
        (pa.nulls(2, TAG), [None, None]),
        (pa.array([], pa.string_view()), []),
        (pa.array([], TAG), []),
    ],
)  # fmt: skip
def test_every_type_of_a_result_becomes_a_plain_value(
    array: pa.Array, values: list[object]
) -> None:
    assert _result(array) == values


def test_only_values_that_occur_travel_with_a_dictionary() -> None:
    values = [f"value-{i}" for i in range(1000)]
    array = pa.array(values, pa.utf8()).dictionary_encode()
    batch = pa.RecordBatch.from_arrays([array], ["tag"]).slice(500, 2)

    block = encode_table("t", batch)

    assert rows_of(block) == [{"tag": "value-500"}, {"tag": "value-501"}]
    assert len(block.columns[0].extra) < 50


def test_a_null_inside_a_dictionary_is_a_null() -> None:
    array = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 0], pa.int32()), pa.array(["a", None], pa.utf8())
    )

    assert _result(array) == ["a", None, "a"]


def test_garbage_under_a_null_does_not_leave() -> None:
    offsets = pa.array([0, 2, 3], pa.int32()).buffers()[1]
    validity = pa.py_buffer(b"\x02")
    array = pa.Array.from_buffers(pa.utf8(), 2, [validity, offsets, pa.py_buffer(b"\xff\xfea")])

    assert _result(array) == [None, "a"]


def test_of_columns_with_one_name_the_last_wins_at_the_first_place() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "b", "a"])

    rows = result_rows(encode_result(table))

    assert [list(row.items()) for row in rows] == [[("a", 3), ("b", 2)]]


def test_rows_without_columns_are_counted() -> None:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))

    assert rows_of(encode_table("t", batch)) == [{}, {}]


def test_numbers_leave_with_their_slice_only() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(np.arange(1000))], ["n"]).slice(10, 1)

    assert encode_table("t", batch).columns[0].data == (10).to_bytes(8, "little")
