from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.lineprotocol import Precision, parse
from engine.lineprotocol.parser import LineReader
from engine.lineprotocol.split import line_end
from engine.model.columns import ParsedLines
from engine.model.schema import ColumnType
from tests.strategies import Point, bodies, line_of, points

NOW = 1_700_000_000_123_456_789
NS = Precision.NANOSECOND
Row = tuple[str, dict[str, tuple[ColumnType, object]], int]


def rows_by_line(parsed: ParsedLines) -> Iterator[tuple[int, Row]]:
    for table in parsed.tables.values():
        values = [(c.name, c.type, c.array.to_pylist()) for c in table.columns]
        times = table.time.cast("int64").to_pylist()
        for row, line in enumerate(table.lines.tolist()):
            present = {n + str(t): (t, v[row]) for n, t, v in values if v[row] is not None}
            yield line, (table.name, present, times[row])


def rows(parsed: ParsedLines) -> list[Row]:
    return [row for _, row in sorted(rows_by_line(parsed), key=lambda pair: pair[0])]


def only_row(line: str, precision: Precision = NS) -> dict[str, object]:
    parsed = parse(line, precision, NOW)
    assert parsed.rejected == ()
    [table] = parsed.tables.values()
    columns = {column.name: column.array.to_pylist() for column in table.columns}
    [time] = table.time.cast("int64").to_pylist()
    row = {name: values[0] for name, values in columns.items()}
    return {"table": table.name, **row, "time": time}


def reason(line: str, precision: Precision = NS) -> str:
    parsed = parse(line, precision, NOW)
    assert parsed.tables == {}
    [rejected] = parsed.rejected
    assert rejected.text == line
    return rejected.reason


def everything(parsed: ParsedLines) -> object:
    """Return all there is in a value, for comparison."""
    tables = [
        (
            table.name,
            [(c.name, c.type, str(c.array.type), c.array.to_pylist()) for c in table.columns],
            table.time.cast("int64").to_pylist(),
            table.lines.tolist(),
        )
        for table in parsed.tables.values()
    ]
    return parsed.body, tables, parsed.rejected, parsed.line_spans


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1i", 1),
        ("-9223372036854775808i", -(2**63)),
        ("00000000000000000000000000000000007i", 7),
        ("-0i", 0),
        ("18446744073709551615u", 2**64 - 1),
        ("1", 1.0),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("-1.25E-2", -0.0125),
        ("1.0e+06", 1e6),
        ("1e999", float("inf")),
        ("-1e999", float("-inf")),
        ('""', ""),
        ('"a b,c=d"', "a b,c=d"),
        (r'"a\nb"', r"a\nb"),
        (r'"too hot\\\\\cold"', r"too hot\\\cold"),
        ('"line\nbreak"', "line\nbreak"),
        ("t", True),
        ("True", True),
        ("TRUE", True),
        ("F", False),
        ("false", False),
    ],
)
def test_field_values(value: str, expected: object) -> None:
    row = only_row(f"m f={value} 1")

    assert row["f"] == expected
    assert type(row["f"]) is type(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cpu", "No fields were provided"),
        ("cpu ", "No fields were provided"),
        ("foo 1234", "No fields were provided"),
        ("field=1 1234", "No fields were provided"),
        ("m f=", "No fields were provided"),
        ("m f=.5", "No fields were provided"),
        ("m f=+1", "No fields were provided"),
        ("m f=nan", "No fields were provided"),
        ("m f=inf", "No fields were provided"),
        ("m f='x'", "No fields were provided"),
        ('m f="x', "No fields were provided"),
        ("m =1", "No fields were provided"),
        ("m f=\0 1", "No fields were provided"),
        (",t=x f=1", "Invalid measurement was provided"),
        ("\0 f=1", "Invalid measurement was provided"),
        ("m,t=x f=1,g= 1", "Could not parse entire line. Found trailing content: `g= 1`"),
        ("m f=1,g=1,h= 1", "Could not parse entire line. Found trailing content: `,h= 1`"),
        ("m f=1,", "Could not parse entire line. Found trailing content: `,`"),
        ("m f=1, 5", "Could not parse entire line. Found trailing content: `, 5`"),
        ("m f=tr", "Could not parse entire line. Found trailing content: `r`"),
        ("m f=1 1.5", "Could not parse entire line. Found trailing content: `.5`"),
        ("m f=1 x", "Could not parse entire line. Found trailing content: ` x`"),
        ("m f=1 ", "Could not parse entire line. Found trailing content: ` `"),
        ("m f=1 1\t", "Could not parse entire line. Found trailing content: `\t`"),
        ("m f=1 1\r", "Could not parse entire line. Found trailing content: `\r`"),
        ("m f=-1u", "Could not parse entire line. Found trailing content: `u`"),
        ("m f=1_0", "Could not parse entire line. Found trailing content: `_0`"),
        ("m f=1.", "Could not parse entire line. Found trailing content: `.`"),
        ("m f=1.e3", "Could not parse entire line. Found trailing content: `.e3`"),
        ("m f=1.5e+", "Could not parse entire line. Found trailing content: `e+`"),
        ("m f=1\u0661", "Could not parse entire line. Found trailing content: `\u0661`"),
        (
            "m f=1.2.22,jkl=4567",
            "Could not parse entire line. Found trailing content: `.22,jkl=45...`",
        ),
        ("m\tf=1", "Expected at least one space character, got `\tf=1`"),
        ("m,t=x\tf=1", "Expected at least one space character, got `\tf=1`"),
        ("m, f=1", "Tag set malformed: Expected tag key, got ` f=1`"),
        ("m,=x f=1", "Tag set malformed: Expected tag key, got `=x f=1`"),
        ("m,", "Tag set malformed: Expected tag key, got end of input"),
        ("m,t= f=1", "Tag set malformed: Expected tag value, got ` f=1`"),
        ("m,t=,u=x f=100", "Tag set malformed: Expected tag value, got `,u=x f=100`"),
        ("m,t=x,u=", "Tag set malformed: Expected tag value, got end of input"),
        ("m,t", "Tag set malformed: could not find equals sign in `t`"),
        ("m,tag f=1 123", "Tag set malformed: could not find equals sign in `tag f=1 12...`"),
        ("m,a=b,c f=1", "Tag set malformed: could not find equals sign in `a=b,c f=1`"),
        ("m f=9223372036854775808i", "Unable to parse integer value `9223372036854775808`"),
        ("m f=-9223372036854775809i", "Unable to parse integer value `-9223372036854775809`"),
        (f"m f={'6' * 5000}i", f"Unable to parse integer value `{'6' * 5000}`"),
        (
            "m f=18446744073709551616u",
            "Unable to parse unsigned integer value `18446744073709551616`",
        ),
        ("m g=1,f=9223372036854775808i", "Unable to parse integer value `9223372036854775808`"),
        ("m f=1 9223372036854775808", "Unable to parse timestamp value `9223372036854775808`"),
        ("m f=1,f=2", "invalid line protocol - multiple instances of 'f' field found"),
        ("m f=1,g=1,f=2i 5", "invalid line protocol - multiple instances of 'f' field found"),
    ],
)
def test_messages_of_rejected_lines(line: str, expected: str) -> None:
    assert reason(line) == expected


@pytest.mark.parametrize(
    "line",
    ["m\\", "m\\\\ f=1", "m,t\\\\=x f=1", "m,t=x\\\\ f=1", "m,t=x\\", "m f\\\\=1", "m f=1,g\\\\=1"],
)
def test_names_may_not_end_with_a_backslash(line: str) -> None:
    assert reason(line) == (
        "Measurements, tag keys and values, and field keys may not end with a backslash"
    )


def test_strings_may_have_one_mebibyte() -> None:
    longest = "ü" * (2**20 // 2)

    for template in ("{} f=1", "m,{}=x f=1", "m,t={} f=1", "m {}=1", 'm f="{}"'):
        assert len(parse(template.format(longest), NS, NOW).tables) == 1
        assert reason(template.format(longest + "x")) == "String is greater than 1MB"


def test_worked_example_with_escapes_everywhere() -> None:
    row = only_row(r'my\ table,tag\,x=a\=b f\ 1="q\"s\\" 1')

    assert row == {"table": "my table", "tag,x": "a=b", "f 1": 'q"s\\', "time": 1}


def test_separators_that_are_ordinary_characters_elsewhere() -> None:
    row = only_row('a="b,x,y=1=2 f,g=1,h"="\'" 3')

    assert row == {"table": 'a="b', "x,y": "1=2", "f,g": 1.0, 'h"': "'", "time": 3}


def test_more_spaces_between_the_parts() -> None:
    assert only_row("  m   f=1i   123  ") == {"table": "m", "f": 1, "time": 123}


def test_later_value_of_a_repeated_tag_wins() -> None:
    assert only_row("m,t=a,u=b,t=c f=1 1")["t"] == "c"


def test_columns_named_time_are_left_to_the_schema_check() -> None:
    parsed = parse("m,time=x f=1 1\nm time=2 2", NS, NOW)

    assert [(c.name, c.type) for c in parsed.tables["m"].columns] == [
        ("time", ColumnType.TAG),
        ("f", ColumnType.FLOAT),
        ("time", ColumnType.FLOAT),
    ]


@pytest.mark.parametrize(
    ("precision", "text", "time"),
    [
        (Precision.SECOND, "-5", -5 * 10**9),
        (Precision.MILLISECOND, "5", 5 * 10**6),
        (Precision.MICROSECOND, "5", 5000),
        (Precision.AUTO, "2", 2 * 10**9),
        (Precision.SECOND, "", NOW // 10**9 * 10**9),
        (Precision.NANOSECOND, "", NOW),
        (Precision.AUTO, "", NOW),
    ],
)
def test_timestamps_become_nanoseconds(precision: Precision, text: str, time: int) -> None:
    assert only_row(f"m f=1 {text}".rstrip(), precision)["time"] == time


def test_timestamp_that_overflows_in_its_unit_is_rejected() -> None:
    assert reason("m f=1 9223372037", Precision.SECOND) == (
        "timestamp, 9223372037, out of range for precision: Second"
    )


def test_rejected_lines_have_true_numbers_and_texts() -> None:
    body = '# c\n\n m f=1,\nm f="a\nb" 1\nm f=x 2\n# d\\\n  m f=y 3'

    rejected = parse(body, NS, NOW).rejected

    assert [(line.number, line.text) for line in rejected] == [
        (3, " m f=1,"),
        (6, "m f=x 2"),
        (8, "  m f=y 3"),
    ]


def test_spans_lead_back_to_the_lines() -> None:
    parsed = parse('m f=1 1\n\nm f="\n" 2\nbad\nm f=3 3', NS, NOW)

    texts = [parsed.rejection(line, "why").text for line in range(len(parsed.line_spans))]
    assert texts == ["m f=1 1", 'm f="\n" 2', "bad", "m f=3 3"]
    assert parsed.tables["m"].lines.tolist() == [0, 1, 3]
    assert parsed.rejection(3, "why").number == 6


@pytest.mark.parametrize("body", ["", "\n\n", "# only\n  # comments\n", " \t"])
def test_body_without_a_point_yields_nothing(body: str) -> None:
    parsed = parse(body, NS, NOW)

    assert (parsed.tables, parsed.rejected, parsed.line_spans) == ({}, (), ())


def test_columns_stand_in_order_of_first_appearance() -> None:
    parsed = parse("n z=1\nm,b=x y=1\nm,a=x,b=x x=1,y=1i\n", NS, NOW)

    assert list(parsed.tables) == ["n", "m"]
    assert [c.name for c in parsed.tables["m"].columns] == ["b", "a", "y", "x", "y"]


def test_rejected_line_leaves_no_column_and_no_table() -> None:
    parsed = parse("gone,t=x f=1 x\nm,new=1 f=1,g=2,g=3\nm,t=a f=1 1", NS, NOW)

    assert list(parsed.tables) == ["m"]
    assert [c.name for c in parsed.tables["m"].columns] == ["t", "f"]
    assert len(parsed.rejected) == 2


def test_too_many_columns_for_one_request_are_refused() -> None:
    body = "m f=1\n" + "m " + ",".join(f"f{i}=1" for i in range(60_000)) + "\nm f=2"

    parsed = parse(body, NS, NOW)

    assert [line.number for line in parsed.rejected] == [2]
    assert "too many different columns" in parsed.rejected[0].reason
    assert len(parsed.tables["m"].columns) == 1


def test_sparse_columns_are_bounded_by_the_number_of_lines() -> None:
    body = "\n".join(["m a=1"] * 40_000 + [f"m f{i}=1" for i in range(1000)])

    columns = len(parse(body, NS, NOW).tables["m"].columns)

    assert columns == 32 * 2**20 // 41_000


@given(points())
def test_point_written_and_read_again_is_the_same(point: Point) -> None:
    [row] = rows(parse(line_of(point), NS, NOW))

    expected = {name + str(ColumnType.TAG): (ColumnType.TAG, v) for name, v in point.tags}
    expected |= {name + str(value[0]): value for name, value in point.fields}
    assert row == (point.table, expected, NOW if point.time is None else point.time)


@given(bodies, st.sampled_from(Precision))
@example("m f=1 1\nm f=1 1\nm f=1=g,2", NS)
@example('m f="a" 1\nm f="b" 1\nm f="\n" 1', NS)
@example("m\\ f=1\nm f=1\nm f=2", NS)
@example("m f=1 1\n m f=1 2\nm,t=x f=3 3\nm,u=y f=4 4", NS)
def test_templates_and_grammar_agree(body: str, precision: Precision) -> None:
    by_grammar = LineReader(body, precision, NOW, learn_after=None).read()

    assert everything(LineReader(body, precision, NOW, learn_after=1).read()) == everything(
        by_grammar
    )
    assert everything(parse(body, precision, NOW)) == everything(by_grammar)


_LEARNED = ["1", "1i", "1u", '"x"', "t"]
_ODD_VALUES = [
    *["1.", ".5", "+1", "1e", "1.e3", "1.5e+3", "1_0", "nan", "inf", "1e999", "-0", "1\u0661", "i"],
    *["-1i", "+1i", "999999999999999999i", "9223372036854775807i", "9223372036854775808i", "-i"],
    *["-1u", "18446744073709551615u", "18446744073709551616u", "0" * 30 + "1u", "0" * 30 + "1i"],
    *['""', '"a b"', '"a,f=1"', '"a\\b"', '"a\\""', '"a', 'a"', '"a"b', '"\n"', '"\t"', "'a'"],
    *["T", "TRUE", "tr", "tRUE", "F", "fa", "", "=1", "1=1", "1,", "1,f=2", "1,g=2", "1\t", "\0"],
]
_ODD_ENDS = ["", " ", "  1", " 1  ", " -1", " +1", " 1.5", " 1 2", " x", " 1\r", " 1\t", " -"]
_BIG_TIMES = [
    f" {sign}{8 * 10**n + d}" for n in range(8, 20) for d in (-1, 10**n) for sign in "+- "
]


def assert_agreement(body: str, precision: Precision) -> None:
    by_grammar = LineReader(body, precision, NOW, learn_after=None).read()

    by_template = LineReader(body, precision, NOW, learn_after=1).read()

    assert everything(by_template) == everything(by_grammar)


@pytest.mark.parametrize("learned", _LEARNED)
def test_template_never_takes_a_value_that_the_grammar_reads_otherwise(learned: str) -> None:
    for value in _ODD_VALUES:
        assert_agreement(f"m f={learned}\nm f={value} 5", NS)
        assert_agreement(f"m a=t,f={learned},z=1\nm a=f,f={value},z=2 5", NS)


@pytest.mark.parametrize("precision", list(Precision))
def test_template_never_takes_a_time_that_the_grammar_reads_otherwise(
    precision: Precision,
) -> None:
    for end in _ODD_ENDS + _BIG_TIMES:
        assert_agreement(f"m f=1\nm f=1{end}", precision)


@pytest.mark.parametrize("name", ['a"b', "a,b", "a\\ b", "a.b", "a\\\\b", "(a", "a\\=b", "[", "\0"])
def test_template_is_not_misled_by_names(name: str) -> None:
    assert_agreement(f'm {name}=1 1\nm {name}=2 2\nm axb=3 3\nm {name}="x\ny" 4\nm f=5 5', NS)


@given(bodies, st.data())
def test_body_in_two_parts_is_read_like_the_whole(body: str, data: st.DataObject) -> None:
    ends = [line_end(body, 0)]
    while ends[-1] < len(body):
        ends.append(line_end(body, ends[-1] + 1))
    cut = data.draw(st.sampled_from(ends))

    first = LineReader(body[:cut], NS, NOW, learn_after=1).read()
    second = LineReader(body[cut + 1 :], NS, NOW, learn_after=1).read()
    whole = parse(body, NS, NOW)

    above = body.count("\n", 0, cut) + 1
    assert rows(first) + rows(second) == rows(whole)
    assert [(r.number, r.reason) for r in first.rejected] + [
        (r.number + above, r.reason) for r in second.rejected
    ] == [(r.number, r.reason) for r in whole.rejected]


@given(st.text(max_size=60), st.sampled_from(Precision))
def test_any_text_is_read_without_an_exception(body: str, precision: Precision) -> None:
    parsed = parse(body, precision, NOW)

    taken = sum(len(table.lines) for table in parsed.tables.values())
    assert taken + len(parsed.rejected) == len(parsed.line_spans)
