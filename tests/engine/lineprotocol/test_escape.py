import pytest
from hypothesis import given

from engine.lineprotocol import escape
from tests.strategies import garbage, names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (r"wea\,ther", "wea,ther"),
        (r"wea\ ther", "wea ther"),
        (r"\\wea\\ther", r"\wea\ther"),
        (r"wea\ther", r"wea\ther"),
        (r"a\=b", r"a\=b"),
        ("weat\\\nher", "weat\\\nher"),
    ],
)
def test_measurement_knows_comma_space_and_backslash(text: str, name: str) -> None:
    assert escape.unescape_measurement(text) == name


def test_keys_know_the_equals_sign_too() -> None:
    assert escape.unescape_key(r"a\=\,\ \\\x") == "a=, \\\\x"


def test_strings_know_quote_and_backslash_only() -> None:
    assert escape.unescape_string(r"\"\\\n\,") == '"\\\\n\\,'


def test_escaped_string_stands_in_quotes() -> None:
    assert escape.escape_string('say "a\\b"') == r'"say \"a\\b\""'


@given(names)
def test_escaped_names_come_back(name: str) -> None:
    assert escape.unescape_measurement(escape.escape_measurement(name)) == name
    assert escape.unescape_key(escape.escape_tag(name)) == name
    assert escape.unescape_key(escape.escape_field_key(name)) == name


@given(garbage)
def test_escaped_string_comes_back(value: str) -> None:
    assert escape.unescape_string(escape.escape_string(value)[1:-1]) == value
