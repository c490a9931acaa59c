"""Settings from `.env`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.dotenv import load_dotenv, parse_dotenv


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("  export A = 1  ", {"A": "1"}),
        ("A=one two # comment", {"A": "one two"}),
        ("A=one#two", {"A": "one#two"}),
        ("A='one # two'", {"A": "one # two"}),
        ("A='one' # comment", {"A": "one"}),
        (r'A="one\ntwo \"x\""', {"A": 'one\ntwo "x"'}),
        ("A=", {"A": ""}),
        ("A=a=b", {"A": "a=b"}),
        ("# A=1", {}),
        ("", {}),
        ("no assignment", {}),
        ("1A=x", {}),
    ],
)
def test_lines_are_read(line: str, expected: dict[str, str]) -> None:
    assert parse_dotenv(line) == expected


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for name, value in parse_dotenv(text).items():
        assert name.isidentifier()
        assert "\0" not in value


def test_variables_that_are_set_keep_their_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    environment = {"A": "shell"}

    load_dotenv(tmp_path, environment)

    assert environment == {"A": "shell", "B": "file"}


def test_folder_without_a_file_sets_nothing(tmp_path: Path) -> None:
    environment: dict[str, str] = {}

    load_dotenv(tmp_path, environment)

    assert environment == {}
