from collections.abc import Mapping

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.check import CheckedTable, SchemaLimits, check
from engine.lineprotocol import Precision, parse
from engine.model.columns import ParsedTable
from engine.model.schema import TIME, Column, ColumnType, TableSchema
from tests.strategies import line_of, points

TAG, FLOAT, INTEGER = ColumnType.TAG, ColumnType.FLOAT, ColumnType.INTEGER
STRING, BOOLEAN = ColumnType.STRING, ColumnType.BOOLEAN
LIMITS = SchemaLimits()


def table_of(body: str) -> ParsedTable:
    parsed = parse(body, Precision.NANOSECOND, 0)
    assert parsed.rejected == ()
    [table] = parsed.tables.values()
    return table


def checked(
    body: str, schema: TableSchema | None = None, limits: SchemaLimits = LIMITS
) -> CheckedTable:
    return check(table_of(body), schema, limits)


def schema(**columns: ColumnType) -> TableSchema:
    return TableSchema(tuple(Column(name, type_) for name, type_ in columns.items()))


def rows(result: CheckedTable) -> list[dict[str, object]]:
    if result.rows is None:
        return []
    time = result.rows.schema.get_field_index(TIME)
    batch = result.rows.set_column(time, TIME, result.rows.column(time).cast("int64"))
    return [{k: v for k, v in row.items() if v is not None} for row in batch.to_pylist()]


def conflict(name: str, expected: ColumnType, got: ColumnType) -> str:
    return f"invalid column type for column '{name}', expected {expected.value}, got {got.value}"


def test_new_table_takes_all_columns_tags_first() -> None:
    result = checked('m,b=x f=1,s="y" 1\nm,a=z f=2 2')

    assert result.new_columns == (
        Column("b", TAG),
        Column("a", TAG),
        Column("f", FLOAT),
        Column("s", STRING),
    )
    assert result.rows is not None
    assert result.rows.schema == pa.schema(
        [
            ("b", TAG.arrow),
            ("a", TAG.arrow),
            ("f", FLOAT.arrow),
            ("s", STRING.arrow),
            ("time", ColumnType.TIME.arrow),
        ]
    )
    assert (result.rejected, result.limit_hit) == ((), False)


def test_known_columns_are_not_new() -> None:
    result = checked("m,t=x f=1,g=2i 1", schema(t=TAG, f=FLOAT))

    assert result.new_columns == (Column("g", INTEGER),)
    assert rows(result) == [{"t": "x", "f": 1.0, "g": 2, "time": 1}]


def test_columns_are_not_copied_when_nothing_is_rejected() -> None:
    table = table_of("m f=1 1\nm f=2 2")

    result = check(table, None, LIMITS)

    assert result.rows is not None
    before = table.columns[0].array.buffers()[1].address
    assert result.rows.column(0).buffers()[1].address == before


def test_line_that_disagrees_with_the_schema_is_rejected_alone() -> None:
    result = checked("m f=1 1\nm,t=new f=1i,h=t 2\nm f=3,g=4 3", schema(f=FLOAT))

    assert result.rejected == ((1, conflict("f", FLOAT, INTEGER)),)
    assert rows(result) == [{"f": 1.0, "time": 1}, {"f": 3.0, "g": 4.0, "time": 3}]
    assert result.new_columns == (Column("g", FLOAT),)
    assert result.limit_hit is False


def test_no_line_left_means_no_rows() -> None:
    result = checked("m,t=x f=1i 1", schema(f=FLOAT))

    assert (result.rows, result.new_columns) == (None, ())


def test_first_line_defines_the_type_of_a_new_column() -> None:
    result = checked('m f=1i 1\nm f=2 2\nm f="x" 3\nm f=4i 4')

    assert result.rejected == (
        (1, conflict("f", INTEGER, FLOAT)),
        (2, conflict("f", INTEGER, STRING)),
    )
    assert [row["f"] for row in rows(result)] == [1, 4]


def test_rejected_line_does_not_define_a_type() -> None:
    result = checked("m f=1i,g=1 1\nm g=t 2\nm g=2 3", schema(f=FLOAT))

    assert [line for line, _ in result.rejected] == [0, 2]
    assert result.new_columns == (Column("g", BOOLEAN),)


def test_tag_and_field_of_one_name_on_one_line_disagree() -> None:
    result = checked("m,x=a x=1 1\nm x=2 2")

    assert result.rejected == ((0, conflict("x", TAG, FLOAT)),)
    assert result.new_columns == (Column("x", FLOAT),)


def test_tag_used_as_field_is_rejected() -> None:
    result = checked("m t=1 1\nm,f=x g=1 2", schema(t=TAG, f=FLOAT))

    assert result.rejected == (
        (0, conflict("t", TAG, FLOAT)),
        (1, conflict("f", FLOAT, TAG)),
    )


def test_columns_stand_in_the_order_of_accepted_lines() -> None:
    result = checked("m b=1,a=1,f=1i 1\nm a=2 2\nm b=3 3", schema(f=FLOAT))

    assert result.new_columns == (Column("a", FLOAT), Column("b", FLOAT))
    assert result.rows is not None
    assert result.rows.schema.names == ["a", "b", "time"]


def test_column_named_time_is_reserved_in_a_new_table() -> None:
    result = checked("m,time=x f=1 1\nm f=1,time=2 2")

    assert result.rejected == (
        (0, "'time' is a reserved column"),
        (1, "'time' is a reserved column"),
    )


def test_column_named_time_has_the_wrong_type_once_there_is_a_line() -> None:
    message = conflict("time", ColumnType.TIME, FLOAT)

    assert checked("m f=1 1\nm time=2 2").rejected == ((1, message),)
    assert checked("m time=2 2", schema(f=FLOAT)).rejected == ((0, message),)
    assert checked("m time=2 1\nm f=1 2").rejected == ((0, "'time' is a reserved column"),)
    assert checked("m f=1i 1\nm f=2 2\nm time=3 3").rejected[1] == (2, message)


def test_reserved_column_rejects_its_line_alone() -> None:
    result = checked("m __chunk_order=1 1\nm f=1 2")

    assert rows(result) == [{"f": 1.0, "time": 2}]
    assert result.rejected == ((0, "'__chunk_order' is a reserved column"),)


def test_line_that_passes_the_limit_of_columns_is_rejected() -> None:
    result = checked("m,t=x a=1 1\nm b=1,c=1 2\nm b=1 3\nm a=4 4", None, SchemaLimits(3))

    assert result.rejected == (
        (1, "Update to schema would exceed number of columns per table limit of 3 columns"),
    )
    assert [column.name for column in result.new_columns] == ["t", "a", "b"]
    assert result.limit_hit


def test_stored_columns_count_and_time_does_not() -> None:
    stored = schema(**{f"f{number}": FLOAT for number in range(499)})

    assert checked("m x=1 1", stored).rejected == ()
    result = checked("m x=1,y=1 1", stored)
    assert result.rejected == (
        (0, "Update to schema would exceed number of columns per table limit of 500 columns"),
    )


def test_line_that_passes_the_limit_of_tags_is_rejected() -> None:
    result = checked("m,a=x,b=x f=1 1\nm,c=x f=1 2", None, SchemaLimits(max_tags=2))

    assert result.rejected == (
        (1, "Update to schema would exceed number of tag columns per table limit of 2 columns"),
    )


def test_body_at_the_limit_is_accepted_without_a_look_at_lines() -> None:
    assert checked("m,t=x a=1 1\nm b=1 2", None, SchemaLimits(3)).rejected == ()


def expected_outcome(
    table: ParsedTable, stored: TableSchema | None, max_columns: int
) -> tuple[list[int], dict[str, ColumnType]]:
    """Decide line by line in the plainest way."""
    types: Mapping[str, ColumnType] = {c.name: c.type for c in stored.columns} if stored else {}
    bad = []
    for row, line in enumerate(table.lines.tolist()):
        grown = dict(types)
        cells = [c for c in table.columns if c.array[row].is_valid]
        agree = all(c.name != TIME and grown.setdefault(c.name, c.type) is c.type for c in cells)
        if agree and len(grown) <= max_columns:
            types = grown
        else:
            bad.append(line)
    return bad, dict(types)


_names = st.sampled_from(["a", "b", "c", "time"])
_bodies = st.lists(points(st.just("m"), _names).map(line_of), min_size=1, max_size=8)
_schemas = st.none() | st.dictionaries(
    st.sampled_from("abc"), st.sampled_from([TAG, FLOAT, INTEGER, BOOLEAN])
).map(lambda columns: schema(**columns))


@given(_bodies, _schemas, st.integers(3, 6))
def test_outcome_is_that_of_deciding_line_by_line(
    lines: list[str], stored: TableSchema | None, max_columns: int
) -> None:
    table = table_of("\n".join(lines))

    result = check(table, stored, SchemaLimits(max_columns))

    bad, types = expected_outcome(table, stored, max_columns)
    assert [line for line, _ in result.rejected] == bad
    grown = (stored or TableSchema()).with_columns(result.new_columns)
    assert {column.name: column.type for column in grown.columns} == types
    good = [line for line in table.lines.tolist() if line not in bad]
    assert (0 if result.rows is None else result.rows.num_rows) == len(good)
    if result.rows is not None:
        result.rows.validate(full=True)
        assert all(column.null_count < len(good) for column in result.rows.columns)
        assert result.rows.schema.names[-1] == TIME
