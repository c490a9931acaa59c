"""Hypothesis strategies for what the parts exchange: names, values, points, bodies."""

from dataclasses import dataclass

from hypothesis import strategies as st

from engine.lineprotocol import escape_field_key, escape_measurement, escape_string, escape_tag
from engine.model.schema import ColumnType

FieldValue = tuple[ColumnType, int | float | str | bool]

# Letters that mean something to line protocol, and some that only look as if they did.
_ALPHABET = "abtfiuTE019.,= \\\"'#_-+é😀"
_SPECIAL = _ALPHABET + "\n\t\r\0"


@dataclass(frozen=True)
class Point:
    """One point; `time` is in the unit of the request, None when the line has none."""

    table: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, FieldValue], ...]
    time: int | None


def _is_name(text: str) -> bool:
    return not text.endswith("\\")


names = st.text(_ALPHABET, min_size=1, max_size=6).filter(_is_name)
table_names = names.filter(lambda name: not name.startswith("#"))
tag_values = names

int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
field_values: st.SearchStrategy[FieldValue] = st.one_of(
    st.tuples(st.just(ColumnType.INTEGER), int64s),
    st.tuples(st.just(ColumnType.UINTEGER), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(ColumnType.FLOAT), floats),
    st.tuples(st.just(ColumnType.STRING), st.text(_SPECIAL, max_size=8)),
    st.tuples(st.just(ColumnType.BOOLEAN), st.booleans()),
)


def points(
    table: st.SearchStrategy[str] = table_names, name: st.SearchStrategy[str] = names
) -> st.SearchStrategy[Point]:
    """Return points that line protocol can express."""
    tags = st.dictionaries(name, tag_values, max_size=3).map(lambda tags: tuple(tags.items()))
    fields = st.dictionaries(name, field_values, min_size=1, max_size=4)
    return st.builds(
        Point,
        table=table,
        tags=tags,
        fields=fields.map(lambda fields: tuple(fields.items())),
        time=st.none() | int64s,
    )


def line_of(point: Point) -> str:
    """Write a point as a line."""
    series = escape_measurement(point.table)
    for key, value in point.tags:
        series += f",{escape_tag(key)}={escape_tag(value)}"
    fields = ",".join(
        f"{escape_field_key(name)}={_field_text(*value)}" for name, value in point.fields
    )
    return f"{series} {fields}" + ("" if point.time is None else f" {point.time}")


def _field_text(column_type: ColumnType, value: float | str) -> str:
    match column_type:
        case ColumnType.INTEGER:
            return f"{value}i"
        case ColumnType.UINTEGER:
            return f"{value}u"
        case ColumnType.STRING:
            return escape_string(str(value))
        case _:
            return repr(value)


# Few tables and few names, so that lines agree and disagree with each other.
_like_points = points(st.sampled_from(["m", "n,x"]), st.sampled_from(["a", "b", "c d"]))
_good_values = [
    "1",
    "-2",
    "3.5",
    "1e3",
    "1i",
    "-7i",
    "8u",
    "t",
    "false",
    '"x y"',
    '"a,b=c"',
    '"q\n"',
]
_bad_values = ["1.", ".5", "+1", "nan", "inf", "1_0", "9223372036854775808i", '"', "tr", "-1u"]
_values = st.sampled_from([*_good_values, *_bad_values, "1e999", '"\\""'])
_pairs = st.tuples(st.sampled_from(["a", "b", "c", "a\\ b", "x,y"]), _values).map("=".join)
_rough_lines = st.builds(
    "{0} {1}{2}".format,
    st.sampled_from(["m", "m,t=x", "m,t=y,u=z", "n", " m", "m,t=", "m,t", "#m", "m\\ n,t=\\,"]),
    st.lists(_pairs, max_size=3).map(",".join),
    st.sampled_from(["", " 1", " 9223372036854775807", " -5 ", "  7", " x", "\r", "\t2", " "]),
)
garbage = st.text(_SPECIAL, max_size=40)
_repeated = st.tuples(_rough_lines, st.integers(1, 4)).map(
    lambda pair: "\n".join([pair[0]] * pair[1])
)
_lines = st.one_of(_like_points.map(line_of), _rough_lines, _repeated, garbage, st.just("# c"))

bodies = st.lists(_lines, max_size=12).map("\n".join)
"""Bodies of lines that are good, bad, alike, different, blank, comments and garbage."""
