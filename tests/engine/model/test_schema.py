import pyarrow as pa
import pytest

from engine.model.schema import TIME, Column, ColumnType, TableSchema

SCHEMA = TableSchema(
    (
        Column("zone", ColumnType.TAG),
        Column("é", ColumnType.FLOAT),
        Column("Host", ColumnType.TAG),
        Column("up", ColumnType.BOOLEAN),
    )
)


@pytest.mark.parametrize(
    ("column_type", "arrow"),
    [
        (ColumnType.TAG, pa.dictionary(pa.int32(), pa.utf8())),
        (ColumnType.FLOAT, pa.float64()),
        (ColumnType.INTEGER, pa.int64()),
        (ColumnType.UINTEGER, pa.uint64()),
        (ColumnType.STRING, pa.utf8()),
        (ColumnType.BOOLEAN, pa.bool_()),
        (ColumnType.TIME, pa.timestamp("ns")),
    ],
)
def test_each_type_has_its_arrow_type(column_type: ColumnType, arrow: pa.DataType) -> None:
    assert column_type.arrow == arrow


def test_type_is_found_by_exact_name() -> None:
    assert SCHEMA.type_of("Host") is ColumnType.TAG
    assert SCHEMA.type_of("host") is None


def test_time_is_there_without_being_listed() -> None:
    assert TableSchema().type_of(TIME) is ColumnType.TIME
    assert TableSchema().arrow.names == ["time"]


def test_series_key_is_the_tags_in_order_of_creation() -> None:
    assert SCHEMA.tags == ("zone", "Host")


def test_new_columns_are_appended_and_the_old_value_stays() -> None:
    grown = SCHEMA.with_columns([Column("a", ColumnType.TAG)])

    assert grown.tags == ("zone", "Host", "a")
    assert SCHEMA.type_of("a") is None


def test_users_see_columns_sorted_by_the_bytes_of_their_names() -> None:
    assert SCHEMA.arrow.names == ["Host", "time", "up", "zone", "é"]


def test_arrow_fields_carry_their_role_and_only_time_is_never_null() -> None:
    fields = {field.name: field for field in SCHEMA.arrow}

    assert fields["Host"].metadata == {b"iox::column::type": b"iox::column_type::tag"}
    assert fields["é"].metadata == {b"iox::column::type": b"iox::column_type::field::float"}
    assert [name for name, field in fields.items() if not field.nullable] == ["time"]


def test_schemas_are_equal_when_their_columns_are() -> None:
    assert TableSchema(SCHEMA.columns) == SCHEMA
    assert TableSchema(SCHEMA.columns[::-1]) != SCHEMA
