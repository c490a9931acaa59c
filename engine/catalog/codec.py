"""Commits and snapshots of the catalog as JSON.

    {"format": 1, "crc32": "<8 hex digits>", "content": CONTENT}

    CONTENT of a commit    {"number": n, "changes": [CHANGE, ...]}
    CONTENT of a snapshot  {"number": n, "uuid": text, "next_id": n, "changes": [CHANGE, ...]}
    CHANGE                 {"change": "<kind>", ...the fields of the dataclass...}

A snapshot is written as the changes that make its state, so that there is one way to read both.
The checksum is taken of the content as written here (sorted keys, no spaces, ASCII), so that a
flipped bit in a name is noticed, while indentation does no harm.
Pure; may be called from any thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never
from zlib import crc32

from engine.catalog.change import (
    AddColumns,
    Change,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    SetRetention,
    apply_all,
    changes_of,
)
from engine.catalog.state import Catalog
from engine.catalog.trigger_codec import decode_trigger, encode_trigger
from engine.model.schema import Column, ColumnType

__all__ = ["FORMAT", "decode_commit", "decode_snapshot", "encode_commit", "encode_snapshot"]

FORMAT = 1


def encode_commit(number: int, changes: Sequence[Change]) -> bytes:
    """Write a commit."""
    return _seal({"number": number, "changes": [_jsonable(change) for change in changes]})


def decode_commit(raw: bytes) -> tuple[int, tuple[Change, ...]]:
    """Read a commit.

    Returns:
        Its number and its changes.

    Raises:
        ValueError: damaged, or of a newer format.
    """
    match _unseal(raw):
        case {"number": int(number), "changes": list(changes)}:
            return number, tuple(_change(item) for item in changes)
        case _:
            raise ValueError("not a commit of the catalog")


def encode_snapshot(catalog: Catalog) -> bytes:
    """Write a whole catalog."""
    return _seal(
        {
            "number": catalog.number,
            "uuid": catalog.uuid,
            "next_id": catalog.next_id,
            "changes": [_jsonable(change) for change in changes_of(catalog)],
        }
    )


def decode_snapshot(raw: bytes) -> Catalog:
    """Read a whole catalog.

    Raises:
        ValueError: damaged, or of a newer format.
        InconsistentChange: its changes do not fit each other.
    """
    match _unseal(raw):
        case {
            "number": int(number),
            "uuid": str(uuid),
            "next_id": int(next_id),
            "changes": list(changes),
        }:
            made = apply_all(Catalog.empty(uuid), map(_change, changes), number)
            return replace(made, next_id=max(next_id, made.next_id))
        case _:
            raise ValueError("not a snapshot of the catalog")


def _seal(content: object) -> bytes:
    text = _canonical(content)
    checksum = f"{crc32(text.encode()):08x}"
    return f'{{"format":{FORMAT},"crc32":"{checksum}","content":{text}}}\n'.encode()


def _unseal(raw: bytes) -> object:
    match _loaded(raw):
        case {"format": int(number)} if number > FORMAT:
            raise ValueError(
                f"written in format {number}, but this program reads up to {FORMAT}; "
                "start a newer version"
            )
        case {"format": 1, "crc32": str(checksum), "content": dict(content)}:
            found = f"{crc32(_canonical(content).encode()):08x}"
            if found != checksum:
                raise ValueError(f"checksum is {found} but should be {checksum}")
            return content
        case _:
            raise ValueError("not a file of the catalog")


def _loaded(raw: bytes) -> object:
    try:
        loaded: object = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return loaded


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _jsonable(change: Change) -> dict[str, object]:
    match change:
        case CreateDatabase(id_, name, retention_ns):
            fields = {"id": id_, "name": name, "retention_ns": retention_ns}
            return {"change": "create_database", **fields}
        case SetRetention(database_id, retention_ns):
            fields = {"database_id": database_id, "retention_ns": retention_ns}
            return {"change": "set_retention", **fields}
        case CreateTable(id_, database_id, name, columns):
            fields = {"id": id_, "database_id": database_id, "name": name}
            return {"change": "create_table", **fields, "columns": _jsonable_columns(columns)}
        case AddColumns(table_id, columns):
            added = _jsonable_columns(columns)
            return {"change": "add_columns", "table_id": table_id, "columns": added}
        case CreateTrigger(trigger):
            return {"change": "create_trigger", "trigger": encode_trigger(trigger)}
        case EnableTrigger() | DisableTrigger() | DeleteTrigger():
            return _jsonable_switch(change)
        case _:
            assert_never(change)


def _jsonable_switch(change: EnableTrigger | DisableTrigger | DeleteTrigger) -> dict[str, object]:
    match change:
        case EnableTrigger(id_, start):
            return {"change": "enable_trigger", "id": id_, "start": start}
        case DisableTrigger(id_):
            return {"change": "disable_trigger", "id": id_}
        case DeleteTrigger(id_):
            return {"change": "delete_trigger", "id": id_}
        case _:
            assert_never(change)


def _jsonable_columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [{"name": column.name, "type": column.type.value} for column in columns]


def _change(item: object) -> Change:
    match item:
        case {"change": "create_trigger", "trigger": trigger}:
            return CreateTrigger(decode_trigger(trigger))
        case {"change": "enable_trigger", "id": int(id_), "start": int(start)}:
            return EnableTrigger(id_, start)
        case {"change": "disable_trigger", "id": int(id_)}:
            return DisableTrigger(id_)
        case {"change": "delete_trigger", "id": int(id_)}:
            return DeleteTrigger(id_)
        case _:
            return _schema_change(item)


def _schema_change(item: object) -> Change:
    match item:
        case {
            "change": "create_database",
            "id": int(id_),
            "name": str(name),
            "retention_ns": int() | None as retention_ns,
        }:
            return CreateDatabase(id_, name, retention_ns)
        case {
            "change": "set_retention",
            "database_id": int(database_id),
            "retention_ns": int() | None as retention_ns,
        }:
            return SetRetention(database_id, retention_ns)
        case {
            "change": "create_table",
            "id": int(id_),
            "database_id": int(database_id),
            "name": str(name),
            "columns": list(columns),
        }:
            return CreateTable(id_, database_id, name, tuple(map(_column, columns)))
        case {"change": "add_columns", "table_id": int(table_id), "columns": list(columns)}:
            return AddColumns(table_id, tuple(map(_column, columns)))
        case _:
            raise ValueError(f"unknown change {str(item)[:200]}")


def _column(item: object) -> Column:
    match item:
        case {"name": str(name), "type": str(kind)}:
            return Column(name, ColumnType(kind))
        case _:
            raise ValueError(f"not a column: {str(item)[:200]}")
