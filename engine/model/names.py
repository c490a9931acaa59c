"""Names of databases, tables and triggers, and what may stand in them.

Two checks of a database name exist because InfluxDB 3 has two: a strict one for names that come
in over HTTP, and a looser one for names that a plugin writes to.
Pure; may be called from any thread.
"""

from __future__ import annotations

from engine.errors import InvalidDatabaseName, InvalidParameter

__all__ = [
    "INTERNAL_DATABASE",
    "check_database_name",
    "check_internal_name",
    "check_table_name",
    "check_trigger_name",
]

INTERNAL_DATABASE = "_internal"
_MAX_DATABASE_NAME_BYTES = 511
_MAX_TRIGGER_NAME_BYTES = 255  # so that a name can name a file or a folder
_RP_SEPARATOR = "/"
_BAD_CHARACTER = (
    "invalid character in database or rp name: must be ASCII, "
    "containing only letters, numbers, underscores, or hyphens"
)
_BAD_RP = (
    "db name with invalid retention policy, if providing a retention policy name, "
    "must be of form '<db_name>/<rp_name>'"
)


def check_database_name(text: str) -> str:
    """Return a database name from outside when it keeps the strict rules.

    ASCII; a letter or digit, then letters, digits, `_`, `-` and at most one inner `/`, which
    separates a retention policy.

    Raises:
        InvalidDatabaseName: with the text that InfluxDB 3 Core answers.
    """
    if not text:
        raise InvalidDatabaseName("db name cannot be empty")
    if len(text) > _MAX_DATABASE_NAME_BYTES:
        raise InvalidDatabaseName(f"db name too long: max {_MAX_DATABASE_NAME_BYTES}")
    if not text.isascii():
        raise InvalidDatabaseName(_BAD_CHARACTER)
    if not text[0].isalnum():
        raise InvalidDatabaseName("db name did not start with a number or letter")
    if not all(c.isalnum() or c in "_-/" for c in text):
        raise InvalidDatabaseName(_BAD_CHARACTER)
    if text.count(_RP_SEPARATOR) > 1 or text.endswith(_RP_SEPARATOR):
        raise InvalidDatabaseName(_BAD_RP)
    return text


def check_internal_name(text: str) -> str:
    """Return a database name that a plugin writes to when it keeps the looser rules.

    Letters and digits of any script, `/`, `_` and `-`.

    Raises:
        InvalidDatabaseName: too long, empty, or with a character (counted from 0) not allowed.
    """
    if not 1 <= len(text.encode(errors="replace")) <= _MAX_DATABASE_NAME_BYTES:
        raise InvalidDatabaseName(
            f"database name {text} length must be between 1 and "
            f"{_MAX_DATABASE_NAME_BYTES} characters"
        )
    for number, character in enumerate(text):
        if not (character.isalnum() or character in "/_-"):
            raise InvalidDatabaseName(
                f"database name '{text}' contains invalid character, "
                f"character number {number} is not allowed"
            )
    return text


def check_table_name(text: str) -> str:
    """Return a table name that is not empty and has no control character.

    Raises:
        InvalidParameter: it is, or it has.
    """
    return _printable(text, "table name")


def check_trigger_name(text: str) -> str:
    """Return a trigger name of 1 to 255 bytes without control characters.

    Raises:
        InvalidParameter: the name breaks a rule; the message says which.
    """
    _printable(text, "trigger name")
    if len(text.encode()) > _MAX_TRIGGER_NAME_BYTES:
        raise InvalidParameter(f"trigger name is longer than {_MAX_TRIGGER_NAME_BYTES} bytes")
    return text


def _printable(text: str, what: str) -> str:
    if not text.strip():
        raise InvalidParameter(f"{what} is empty")
    for number, character in enumerate(text):
        if _is_control(character):
            raise InvalidParameter(
                f"{what} {text!r} has a control character at position {number}; remove it"
            )
    return text


def _is_control(character: str) -> bool:
    """Whether a character would act on a terminal, or cannot be written as UTF-8 at all."""
    return character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"
