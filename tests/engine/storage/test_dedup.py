from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.storage.dedup import merge_duplicates

TAG = pa.dictionary(pa.int32(), pa.utf8())
SCHEMA = pa.schema(
    [
        ("host", TAG),
        ("zone", TAG),
        ("usage", pa.float64()),
        ("note", pa.utf8()),
        ("count", pa.uint64()),
        ("ok", pa.bool_()),
        ("time", pa.timestamp("ns")),
    ]
)
TAGS = ("host", "zone")

names = st.none() | st.sampled_from(["", "a", "b", "ä"])
points = st.fixed_dictionaries(
    {
        "host": names,
        "zone": names,
        "usage": st.none() | st.floats(allow_nan=False),
        "note": st.none() | st.text(max_size=3),
        "count": st.none() | st.integers(0, 2**64 - 1),
        "ok": st.none() | st.booleans(),
        "time": st.integers(-3, 3) | st.sampled_from([-(2**63) + 1, 2**63 - 1]),
    }
)


def batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def plain(rows: pa.RecordBatch | pa.Table) -> list[dict[str, object]]:
    index = rows.schema.get_field_index("time")
    field = pa.field("time", pa.int64())
    time = rows.column("time").cast(pa.int64())
    return pa.table(rows).set_column(index, field, time).to_pylist()


def merged_by_dict(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    found: dict[object, dict[str, object]] = {}
    for row in rows:
        key = (row["host"], row["zone"], row["time"])
        before = found.pop(key, {})
        found[key] = {k: before.get(k) if v is None else v for k, v in row.items()}
    return list(found.values())


@settings(deadline=None)
@given(st.lists(points, max_size=30))
def test_merge_equals_a_dict_of_points(rows: list[dict[str, object]]) -> None:
    merged = merge_duplicates(batch(rows), TAGS)

    assert plain(merged) == merged_by_dict(rows)


@settings(deadline=None)
@given(st.lists(points, max_size=20), st.lists(points, max_size=20))
def test_merge_of_a_chunked_table_equals_merge_of_one_batch(
    first: list[dict[str, object]], second: list[dict[str, object]]
) -> None:
    table = pa.Table.from_batches([batch(first), batch(second)])

    merged = merge_duplicates(table, TAGS)

    assert isinstance(merged, pa.Table)
    assert plain(merged) == merged_by_dict(first + second)


@settings(deadline=None)
@given(st.lists(points, max_size=30))
def test_merge_is_idempotent_and_then_returns_its_input(rows: list[dict[str, object]]) -> None:
    once = merge_duplicates(batch(rows), TAGS)

    assert merge_duplicates(once, TAGS) is once


def test_rows_without_duplicates_come_back_unchanged() -> None:
    rows = batch([{"host": "b", "time": 2}, {"host": "a", "time": 2}, {"host": "a", "time": 1}])

    assert merge_duplicates(rows, TAGS) is rows


def test_missing_tag_is_another_series_than_an_empty_one() -> None:
    rows = batch([{"host": None, "usage": 1.0, "time": 5}, {"host": "", "usage": 2.0, "time": 5}])

    assert merge_duplicates(rows, TAGS) is rows


def test_a_value_that_stands_twice_in_a_dictionary_is_one_series() -> None:
    host = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", "a"]))
    time = pa.array([5, 5], pa.timestamp("ns"))
    rows = pa.RecordBatch.from_arrays([host, time], names=["host", "time"])

    assert merge_duplicates(rows, ("host",)).num_rows == 1


def test_a_slice_is_merged_by_its_own_rows_only() -> None:
    rows = batch([{"time": 1, "usage": 1.0}, {"time": 1, "usage": 2.0}, {"time": 1, "ok": True}])

    merged = merge_duplicates(rows.slice(1), TAGS)

    assert [(r["usage"], r["ok"]) for r in plain(merged)] == [(2.0, True)]


@pytest.mark.parametrize("tag_count", [12])
def test_many_tags_of_many_values_do_not_overflow_the_series_number(tag_count: int) -> None:
    values = [f"v{i}" for i in range(100)]
    names = [f"t{i}" for i in range(tag_count)]
    columns = [pa.array([*values, *values]).dictionary_encode() for _ in names]
    time = pa.array([7] * 200, pa.timestamp("ns"))
    rows = pa.RecordBatch.from_arrays([*columns, time], names=[*names, "time"])

    merged = merge_duplicates(rows, names)

    assert merged.num_rows == 100
    assert merged.column("t11").to_pylist() == values
