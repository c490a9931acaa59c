import math

import pytest

from worker.line_builder import (
    InfluxDBError,
    InvalidKeyError,
    InvalidLineError,
    InvalidMeasurementError,
    LineBuilder,
)


def test_the_documented_example_gives_the_documented_line() -> None:
    line = LineBuilder("weather")
    line.tag("location", "us-midwest")
    line.float64_field("temperature", 82.5)
    line.time_ns(1627680000000000000)

    assert line.build() == "weather,location=us-midwest temperature=82.5 1627680000000000000"


def test_methods_chain_and_order_is_order_of_first_setting() -> None:
    line = (
        LineBuilder("m")
        .tag("b", 1)
        .tag("a", "x")
        .tag("b", 2)
        .int64_field("i", 1)
        .uint64_field("u", 2)
        .bool_field("t", 1)
        .bool_field("f", "")
        .string_field("s", "x")
        .int64_field("i", -3)
    )

    assert line.build() == 'm,b=2,a=x i=-3i,u=2u,t=t,f=f,s="x"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ('\\"', r'"\\\""'),
        ("a\nb, =", '"a\nb, ="'),
    ],
)
def test_string_fields_escape_backslashes_before_quotes(value: str, text: str) -> None:
    assert LineBuilder("m").string_field("s", value).build() == f"m s={text}"


def test_tags_measurement_and_field_keys_are_escaped() -> None:
    line = LineBuilder("a,b").tag("k\\", "a b,c=d\\").int64_field("f\\", 1)

    assert line.build() == "a\\,b,k\\=a\\ b\\,c\\=d\\\\ f\\\\=1i"


def test_attributes_hold_what_was_set() -> None:
    line = LineBuilder("m").tag("k", "a b").string_field("s", 'x"').time_ns(5)

    assert (line.measurement, dict(line.tags), dict(line.fields)) == (
        "m",
        {"k": "a b"},
        {"s": '"x\\""'},
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1.0"),
        (2.0, "2.0"),
        (-0.5, "-0.5"),
        (1e-07, "1e-07"),
        (1e22, "10000000000000000000000.0"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_floats_are_written_as_core_does(value: float, text: str) -> None:
    assert LineBuilder("m").float64_field("f", value).build() == f"m f={text}"


def test_no_time_leaves_it_to_the_server() -> None:
    assert LineBuilder("m").int64_field("f", 1).time_ns(1).time_ns(None).build() == "m f=1i"


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "field key cannot be empty"),
        ("a b,=", "field key 'a b,=' cannot contain spaces"),
        ("a,=", "field key 'a,=' cannot contain commas"),
        ("a=", "field key 'a=' cannot contain equals signs"),
    ],
)
def test_bad_keys_are_refused_by_every_method(key: str, complaint: str) -> None:
    line = LineBuilder("m")
    setters = [
        lambda: line.int64_field(key, 1),
        lambda: line.uint64_field(key, -1),
        lambda: line.float64_field(key, 1),
        lambda: line.string_field(key, "x"),
        lambda: line.bool_field(key, True),
    ]

    for setter in setters:
        with pytest.raises(InvalidKeyError) as caught:
            setter()
        assert str(caught.value) == complaint
    with pytest.raises(InvalidKeyError, match=complaint.replace("field", "tag")):
        line.tag(key, "v")


def test_other_refusals_carry_cores_texts() -> None:
    with pytest.raises(InvalidMeasurementError, match="Measurement name cannot contain spaces"):
        LineBuilder("a b")
    with pytest.raises(ValueError, match="uint64 field 'u' cannot be negative"):
        LineBuilder("m").uint64_field("u", -1)
    with pytest.raises(InvalidLineError, match="At least one field is required: m,k=v"):
        LineBuilder("m").tag("k", "v").build()
    with pytest.raises(AttributeError):
        LineBuilder("m").string_field("s", 5)  # type: ignore[arg-type]
    assert issubclass(InvalidLineError, InfluxDBError)
