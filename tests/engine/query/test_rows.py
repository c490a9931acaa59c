from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import QueryUnsupported
from engine.query import rows as rows_module
from engine.query.rows import to_csv, to_json, to_jsonl, to_parquet, to_pretty

U64_MAX = 2**64 - 1


def one(value: object, kind: pa.DataType) -> str:
    """Return how a value is written in JSON."""
    text = to_json(pa.table({"x": pa.array([value], kind)})).decode()
    assert text.startswith('[{"x":')
    assert text.endswith("}]")
    return text[6:-2]


NS = pa.timestamp("ns")
SECOND = 10**9


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, pa.int64(), "1"),
        (-(2**63), pa.int64(), "-9223372036854775808"),
        (U64_MAX, pa.uint64(), "18446744073709551615"),
        (True, pa.bool_(), "true"),
        (1.0, pa.float64(), "1.0"),
        (-0.0, pa.float64(), "-0.0"),
        (0.1, pa.float64(), "0.1"),
        (0.1, pa.float32(), "0.1"),
        (1.5, pa.float16(), "1.5"),
        (123456789012.0, pa.float64(), "123456789012.0"),
        (1e300, pa.float64(), "1e+300"),
        (math.nan, pa.float64(), "null"),
        (-math.inf, pa.float64(), "null"),
        ('ü"\\\n\x01/', pa.utf8(), '"ü\\"\\\\\\n\\u0001/"'),
        ("v", pa.string_view(), '"v"'),
        ("v", pa.large_utf8(), '"v"'),
        ("tag", pa.dictionary(pa.int32(), pa.utf8()), '"tag"'),
        (3_000_000_000 * SECOND, NS, '"2065-01-24T05:20:00"'),
        (SECOND + 500_000_000, NS, '"1970-01-01T00:00:01.500"'),
        (SECOND + 1_000, NS, '"1970-01-01T00:00:01.000001"'),
        (-1, NS, '"1969-12-31T23:59:59.999999999"'),
        (1_500, pa.timestamp("ms"), '"1970-01-01T00:00:01.500"'),
        (1, pa.timestamp("s"), '"1970-01-01T00:00:01"'),
        (SECOND, pa.timestamp("ns", "UTC"), '"1970-01-01T00:00:01Z"'),
        (SECOND, pa.timestamp("ns", "America/New_York"), '"1969-12-31T19:00:01-05:00"'),
        (SECOND, pa.timestamp("ns", "+05:30"), '"1970-01-01T05:30:01+05:30"'),
        (0, pa.date32(), '"1970-01-01"'),
        (0, pa.date64(), '"1970-01-01T00:00:00"'),
        (1_500, pa.time32("ms"), '"00:00:01.500"'),
        (SECOND, pa.time64("ns"), '"00:00:01"'),
        (0, pa.duration("ns"), '"P0D"'),
        (1_500_000_000, pa.duration("ns"), '"PT1.5S"'),
        (32_689_000, pa.duration("ns"), '"PT0.032689S"'),
        (-60, pa.duration("s"), '"-PT60S"'),
        ((1, 2, 3 * SECOND), pa.month_day_nano_interval(), '"1 mons 2 days 3.000000000 secs"'),
        (b"\x01\xff", pa.binary(), '"01ff"'),
        ([1, None], pa.list_(pa.int64()), "[1,null]"),
        ([], pa.list_(pa.utf8()), "[]"),
        (["a", "b"], pa.list_(pa.utf8(), 2), '["a","b"]'),
        (
            {"value": 1.0, "time": None, "tags": ["é"]},
            pa.struct([("value", pa.float64()), ("time", NS), ("tags", pa.list_(pa.utf8()))]),
            '{"value":1.0,"tags":["é"]}',
        ),
        ([("k", 1)], pa.map_(pa.utf8(), pa.int64()), '[{"key":"k","value":1}]'),
    ],
)
def test_value_is_written_as_json(value: object, kind: pa.DataType, expected: str) -> None:
    if isinstance(value, int) and pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        table = pa.table({"x": pa.array([value], width).view(kind)})
        assert to_json(table).decode() == '[{"x":' + expected + "}]"
    else:
        assert one(value, kind) == expected


def test_null_members_are_left_out() -> None:
    table = pa.table({"a": [1, None, None], "b": [None, "x", None], "n": pa.nulls(3)})

    assert to_json(table) == b'[{"a":1},{"b":"x"},{}]'
    assert to_jsonl(table) == b'{"a":1}\n{"b":"x"}\n{}\n'


def test_null_structs_lists_and_durations_are_left_out() -> None:
    kinds = {
        "s": pa.struct([("v", pa.int64())]),
        "l": pa.list_(pa.int64()),
        "d": pa.duration("ns"),
        "t": pa.timestamp("ns", "UTC"),
        "f": pa.float64(),
        "g": pa.dictionary(pa.int32(), pa.utf8()),
    }
    table = pa.table({name: pa.nulls(2, kind) for name, kind in kinds.items()})

    assert to_json(table) == b"[{},{}]"


def test_names_are_escaped() -> None:
    assert to_json(pa.table({'ä"b': [1]})) == '[{"ä\\"b":1}]'.encode()


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (to_json, b"[]"),
        (to_jsonl, b""),
        (to_csv, b""),
        (to_pretty, b"++\n++"),
        (to_parquet, b""),
    ],
)
def test_empty_result(write: Callable[[pa.Table], bytes], expected: bytes) -> None:
    assert write(pa.table({"a": pa.array([], pa.int64())})) == expected


def test_csv_quotes_only_where_needed() -> None:
    host = pa.array(["a", 'say "hi"', "x\ny"]).dictionary_encode()
    values = pa.array([1.0, None, math.nan])
    table = pa.table({"host": host, "v,1": values, "ok": [True, False, None]})

    assert to_csv(table) == b'host,"v,1",ok\na,1.0,true\n"say ""hi""",,false\n"x\ny",NaN,\n'


def test_csv_of_one_empty_cell_is_still_a_row() -> None:
    assert to_csv(pa.table({"a": [None, "", "x"]})) == b'a\n""\n""\nx\n'


def test_csv_holds_nested_values_as_json() -> None:
    table = pa.table({"a": [1], "l": [["x", "y"]]})

    assert to_csv(table) == b'a,l\n1,"[""x"",""y""]"\n'


def test_pretty_is_a_table_in_a_frame() -> None:
    table = pa.table(
        {
            "host": pa.array(["a", None, "日本"]).dictionary_encode(),
            "usage": [1.0, 22.5, None],
            "s": [{"value": 1, "l": [1, 2]}, None, {"value": None, "l": [3]}],
            "t": pa.array([0, SECOND, None], NS),
        }
    )

    assert to_pretty(table).decode().split("\n") == [
        "+------+-------+-----------------------+---------------------+",
        "| host | usage | s                     | t                   |",
        "+------+-------+-----------------------+---------------------+",
        "| a    | 1.0   | {value: 1, l: [1, 2]} | 1970-01-01T00:00:00 |",
        "|      | 22.5  |                       | 1970-01-01T00:00:01 |",
        "| 日本 |       | {value: , l: [3]}     |                     |",
        "+------+-------+-----------------------+---------------------+",
    ]


def test_pretty_gives_each_line_of_a_cell_its_own() -> None:
    assert to_pretty(pa.table({"plan": ["a\nbc"], "n": [1]})).decode().split("\n") == [
        "+------+---+",
        "| plan | n |",
        "+------+---+",
        "| a    | 1 |",
        "| bc   |   |",
        "+------+---+",
    ]


def test_parquet_is_one_readable_file() -> None:
    table = pa.table(
        {"host": pa.array(["a"]).dictionary_encode(), "n": pa.array([U64_MAX], pa.uint64())}
    )

    found = pq.read_table(io.BytesIO(to_parquet(table)))

    assert found.to_pylist() == [{"host": "a", "n": U64_MAX}]


def test_type_that_parquet_does_not_have_is_refused() -> None:
    table = pa.table({"i": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})

    with pytest.raises(QueryUnsupported, match="cannot be written as Parquet"):
        to_parquet(table)


texts = st.text(st.characters(codec="utf-8"), max_size=6)
tables = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | texts,
            "float": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "big": st.none() | st.integers(0, U64_MAX),
            "list": st.none() | st.lists(st.none() | texts, max_size=3),
            "struct": st.none()
            | st.fixed_dictionaries({"a": st.none() | st.integers(-5, 5), "b": texts}),
        }
    ),
    max_size=20,
)
SCHEMA = pa.schema(
    [
        ("text", pa.utf8()),
        ("float", pa.float64()),
        ("big", pa.uint64()),
        ("list", pa.list_(pa.utf8())),
        ("struct", pa.struct([("a", pa.int64()), ("b", pa.utf8())])),
    ]
)


def without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


@settings(deadline=None)
@given(tables, st.integers(0, 3))
def test_json_reads_back_as_the_rows(written: list[dict[str, object]], start: int) -> None:
    table = pa.Table.from_pylist(written, schema=SCHEMA).slice(start)
    expected = [without_nulls(row) for row in written[start:]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "_PART_ROWS", 3)
        found, lines = to_json(table), to_jsonl(table)

    assert json.loads(found) == expected
    assert [json.loads(line) for line in lines.split(b"\n")[:-1]] == expected


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1))
def test_csv_reads_back_as_the_texts(written: list[tuple[str, str]]) -> None:
    columns = list(zip(*written, strict=True))
    table = pa.table({"a": columns[0], "b": columns[1]})

    text = to_csv(table).decode()

    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [tuple(row) for row in found] == [("a", "b"), *written]
