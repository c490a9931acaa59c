import pytest

from engine.errors import InvalidDatabaseName, InvalidParameter
from engine.model.names import (
    INTERNAL_DATABASE,
    check_database_name,
    check_internal_name,
    check_table_name,
    check_trigger_name,
)


@pytest.mark.parametrize("name", ["a", "7", "my-db_2", "db/rp", "a-", "x" * 511])
def test_good_database_names_pass_unchanged(name: str) -> None:
    assert check_database_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "db name cannot be empty"),
        ("x" * 512, "db name too long: max 511"),
        ("dätabase", "invalid character in database or rp name"),
        ("ä", "invalid character in database or rp name"),
        ("a b", "invalid character in database or rp name"),
        ("_internal", "db name did not start with a number or letter"),
        ("-a", "db name did not start with a number or letter"),
        ("/rp", "db name did not start with a number or letter"),
        ("a/b/c", "db name with invalid retention policy"),
        ("a/", "db name with invalid retention policy"),
    ],
)
def test_bad_database_names_are_refused_with_the_text_of_core(name: str, message: str) -> None:
    with pytest.raises(InvalidDatabaseName, match=message):
        check_database_name(name)


@pytest.mark.parametrize("name", ["a", "äöü", "_internal", "a/b/c", "-", "ä" * 255])
def test_internal_check_takes_letters_of_any_script(name: str) -> None:
    assert check_internal_name(name) == name


@pytest.mark.parametrize("name", ["", "ä" * 256])
def test_internal_check_counts_bytes(name: str) -> None:
    with pytest.raises(InvalidDatabaseName, match="must be between 1 and 511 characters"):
        check_internal_name(name)


@pytest.mark.parametrize(("name", "number"), [("a b", 1), ("abc!", 3), ("\ud800", 0)])
def test_internal_check_names_the_bad_character(name: str, number: int) -> None:
    with pytest.raises(InvalidDatabaseName, match=f"character number {number} is not allowed"):
        check_internal_name(name)


def test_internal_database_is_out_of_reach_of_the_strict_check() -> None:
    with pytest.raises(InvalidDatabaseName):
        check_database_name(INTERNAL_DATABASE)


def test_table_and_trigger_names_may_hold_spaces_and_any_script() -> None:
    assert check_table_name("two words") == "two words"
    assert check_trigger_name("Wächter 1") == "Wächter 1"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x7f", "\x9b31m", "\ud800"])
def test_empty_names_and_control_characters_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameter):
        check_table_name(name)
    with pytest.raises(InvalidParameter):
        check_trigger_name(name)


def test_trigger_name_fits_a_file_name() -> None:
    assert check_trigger_name("x" * 255)
    with pytest.raises(InvalidParameter, match="longer than 255 bytes"):
        check_trigger_name("ä" * 128)
