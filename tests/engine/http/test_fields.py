"""Reading fields from query strings and JSON."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.http.fields import JsonFields, QueryFields, form_decode


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_encoded_forms_decode_to_themselves(pairs: list[tuple[str, str]]) -> None:
    assert form_decode(urlencode(pairs, errors="replace").encode()) == [
        (k.encode(errors="replace").decode(), v.encode(errors="replace").decode()) for k, v in pairs
    ]


@given(st.binary(max_size=200))
def test_any_query_string_decodes(query: bytes) -> None:
    fields = QueryFields(query)

    assert fields.flag("not there", default=True) is True


@given(st.binary(max_size=100))
def test_any_body_is_an_object_or_the_callers_fault(body: bytes) -> None:
    try:
        JsonFields.parse(body)
    except InvalidParameter as error:
        assert str(error).startswith("serde json error: ")  # noqa: PT017  others fail the test


@given(st.dictionaries(st.text(), st.text()))
def test_texts_of_an_object_come_back(values: dict[str, str]) -> None:
    fields = JsonFields.parse(json.dumps(values).encode())

    assert {name: fields.text(name) for name in values} == values


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"[]", "invalid type: sequence, expected a map at line 1 column 2"),
        (b"{", "EOF while parsing a value at line 1 column 2"),
        (b'{"a" 1}', "expected `:` at line 1 column 6"),
        (b'{"a":1 "b":2}', "expected `,` or `}` at line 1 column 8"),
        (b'{"a":x}', "expected value at line 1 column 6"),
        (b'{"a":1}}', "trailing characters at line 1 column 8"),
        (b'{"a":NaN}', "expected value"),
        (b'{"a":"', "EOF while parsing a string"),
        (b"{\n  1:2}", "key must be a string at line 2 column 3"),
        (b'\xff"', "invalid unicode code point"),
        (b'{"a":' + b"[" * 100_000, "recursion limit exceeded"),
        (b'{"a":' + b"1" * 10_000 + b"}", "number out of range"),
    ],
)
def test_complaints_about_json(body: bytes, complaint: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        JsonFields.parse(body)

    assert str(refused.value).startswith(f"serde json error: {complaint}")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "boolean `true`"),
        (1, "integer `1`"),
        (1.5, "floating point `1.5`"),
        ([], "sequence"),
        ({}, "map"),
    ],
)
def test_wrong_types_are_named(value: object, kind: str) -> None:
    fields = JsonFields.parse(json.dumps({"db": value}).encode())

    with pytest.raises(InvalidParameter, match=f"invalid type: {kind}, expected a string at line"):
        fields.text("db")
