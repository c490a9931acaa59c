"""What `LineBuilder` builds, read back by the server's own parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.lineprotocol import Precision, parse
from tests.strategies import int64s
from worker.line_builder import InvalidKeyError, InvalidMeasurementError, LineBuilder

NOW_NS = 1_700_000_000_000_000_000
UINT64 = st.integers(0, 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)

# No line break, which line protocol has no escape for outside of string fields.
_LETTERS = "abtTiu0.,= \\\"'#é😀"


def _stands_in_a_line(text: str) -> bool:
    return not text.endswith("\\")


keys = (
    st.text("abtTiu0.\\\"'é😀", min_size=1, max_size=6)
    .filter(_stands_in_a_line)
    .filter(lambda key: key != "time" and "\\\\" not in key)
)
tables = st.text("abtT0,\"'é😀", min_size=1, max_size=6)
tag_values = st.text(_LETTERS, min_size=1, max_size=8).filter(_stands_in_a_line)
texts = st.text(_LETTERS + "\n\t", max_size=8)

Row = dict[str, object]


def read(line: str) -> tuple[str, Row, int]:
    """Return table, values and time of the only row in a line."""
    parsed = parse(line, Precision.NANOSECOND, NOW_NS)
    assert parsed.rejected == ()
    [table] = parsed.tables.values()
    row: Row = {column.name: column.array.to_pylist()[0] for column in table.columns}
    [time_ns] = table.time.cast("int64").to_pylist()
    return table.name, row, time_ns


def refusal(line: str) -> str:
    parsed = parse(line, Precision.NANOSECOND, NOW_NS)
    assert parsed.tables == {}
    return parsed.rejected[0].reason


@given(
    tables,
    st.dictionaries(keys, tag_values, max_size=3),
    st.dictionaries(keys, texts, max_size=2),
    st.tuples(int64s, UINT64, FLOATS, st.booleans()),
    st.none() | int64s,
)
@example("a,b", {"t": r"a\ b,c=d"}, {"s": 'say "hi" \\"'}, (0, 0, -0.0, True), None)
def test_what_is_built_is_read_back_equal(
    table: str,
    tags: dict[str, str],
    strings: dict[str, str],
    numbers: tuple[int, int, float, bool],
    time_ns: int | None,
) -> None:
    builder = LineBuilder(table)
    for key, value in tags.items():
        assert builder.tag(f"t{key}", value) is builder
    for key, value in strings.items():
        builder.string_field(f"s{key}", value)
    signed, unsigned, real, truth = numbers
    builder.int64_field("i", signed).uint64_field("u", unsigned).float64_field("f", real)
    builder.bool_field("b", truth).time_ns(time_ns)

    name, row, read_ns = read(builder.build())

    assert name == table
    assert row == {
        **{f"t{key}": value for key, value in tags.items()},
        **{f"s{key}": value for key, value in strings.items()},
        "i": signed,
        "u": unsigned,
        "f": real,
        "b": truth,
    }
    assert read_ns == (NOW_NS if time_ns is None else time_ns)


@given(st.text(_LETTERS, max_size=6), st.text(_LETTERS, max_size=6))
def test_a_name_is_refused_for_exactly_the_documented_reasons(name: str, key: str) -> None:
    is_bad = " " in name or not key or bool(set(" ,=") & set(key))
    try:
        LineBuilder(name).tag(key, "x").bool_field(key, value=True).build()
    except (InvalidKeyError, InvalidMeasurementError):
        assert is_bad
    else:
        assert not is_bad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_by_the_server_only(value: float) -> None:
    line = LineBuilder("m").bool_field("b", value=True).float64_field("f", value).build()

    assert line == f"m b=t,f={value}"
    assert refusal(line) == f"Could not parse entire line. Found trailing content: `f={value}`"


@pytest.mark.parametrize(
    "line",
    [
        LineBuilder("m").tag("t", "").bool_field("b", value=True).build(),
        LineBuilder("m").int64_field("i", 1.5).build(),  # type: ignore[arg-type]
        LineBuilder("m").int64_field("i", value=True).build(),
        LineBuilder("m").int64_field("i", 2**63).build(),
        LineBuilder("").bool_field("b", value=True).build(),
    ],
)
def test_what_the_builder_passes_on_is_refused_by_the_server(line: str) -> None:
    assert refusal(line)


@pytest.mark.parametrize(
    ("value", "kept"),
    [(1, 1.0), (1e300, 1e300), (1e-07, 1e-07), (-1.5e-10, -1.5e-10), (-0.0, 0.0), (True, 1.0)],
)
def test_floats_of_every_size_keep_their_value(value: float, kept: float) -> None:
    _, row, _ = read(LineBuilder("m").float64_field("f", value).build())

    assert row == {"f": kept}
