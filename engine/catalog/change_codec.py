"""A change as the JSON object that commits and snapshots of the catalog hold.

    {"change": "<kind>", ...the fields of the dataclass...}

    FILE of a table   {"path": text, "rows": n, "size_bytes": n, "crc32c": n,
                       "min_ns": n, "max_ns": n, "order": n}
    COLUMN            {"name": text, "type": text}

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from engine.catalog.change import (
    AddColumns,
    AddFiles,
    AddLock,
    Change,
    ConfineTrigger,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    FileChange,
    PinEnvironment,
    PurgeDatabase,
    PurgeTable,
    ReplaceFiles,
    RequireTrigger,
    SchemaChange,
    SetPersisted,
    SetRetention,
    TrashChange,
    TrashDatabase,
    TrashTable,
    UnpinEnvironment,
)
from engine.catalog.pin_codec import decode_pin_change, encode_pin_change
from engine.catalog.trigger_change_codec import decode_trigger_change, encode_trigger_change
from engine.model.file import ParquetFile
from engine.model.schema import Column, ColumnType

__all__ = ["decode_change", "encode_change"]


def encode_change(change: Change) -> dict[str, object]:
    """Return what stands for a change in JSON."""
    match change:
        case CreateDatabase() | SetRetention() | CreateTable() | AddColumns():
            return _encode_schema(change)
        case CreateTrigger() | EnableTrigger() | DisableTrigger():
            return encode_trigger_change(change)
        case ConfineTrigger() | RequireTrigger() | DeleteTrigger():
            return encode_trigger_change(change)
        case AddLock() | PinEnvironment() | UnpinEnvironment():
            return encode_pin_change(change)
        case AddFiles() | ReplaceFiles() | SetPersisted():
            return _encode_files(change)
        case TrashDatabase() | TrashTable() | PurgeDatabase() | PurgeTable():
            return _encode_trash(change)
        case _:
            assert_never(change)


def decode_change(item: object) -> Change:
    """Return the change that a JSON value stands for.

    Raises:
        ValueError: it stands for none.
    """
    for decode in _DECODERS:
        change = decode(item)
        if change is not None:
            return change
    raise ValueError(f"unknown change {str(item)[:200]}")


def _encode_schema(change: SchemaChange) -> dict[str, object]:
    match change:
        case CreateDatabase(id_, name, retention_ns):
            fields = {"id": id_, "name": name, "retention_ns": retention_ns}
            return {"change": "create_database", **fields}
        case SetRetention(database_id, retention_ns):
            fields = {"database_id": database_id, "retention_ns": retention_ns}
            return {"change": "set_retention", **fields}
        case CreateTable(id_, database_id, name, columns):
            fields = {"id": id_, "database_id": database_id, "name": name}
            return {"change": "create_table", **fields, "columns": _encode_columns(columns)}
        case AddColumns(table_id, columns):
            added = _encode_columns(columns)
            return {"change": "add_columns", "table_id": table_id, "columns": added}
        case _:
            assert_never(change)


def _encode_files(change: FileChange) -> dict[str, object]:
    match change:
        case AddFiles(table_id, files, persisted_to):
            fields = {"table_id": table_id, "persisted_to": persisted_to}
            return {"change": "add_files", **fields, "files": list(map(_encode_file, files))}
        case ReplaceFiles(table_id, removed, added):
            fields = {"table_id": table_id}
            paths = {"removed": list(removed), "added": list(map(_encode_file, added))}
            return {"change": "replace_files", **fields, **paths}
        case SetPersisted(to):
            return {"change": "set_persisted", "to": to}
        case _:
            assert_never(change)


def _encode_trash(change: TrashChange) -> dict[str, object]:
    match change:
        case TrashDatabase(id_, name, original, hard_delete_ns):
            names = {"id": id_, "name": name, "original": original}
            return {"change": "trash_database", **names, "hard_delete_ns": hard_delete_ns}
        case TrashTable(id_, name, original, hard_delete_ns):
            names = {"id": id_, "name": name, "original": original}
            return {"change": "trash_table", **names, "hard_delete_ns": hard_delete_ns}
        case PurgeDatabase(id_):
            return {"change": "purge_database", "id": id_}
        case PurgeTable(id_):
            return {"change": "purge_table", "id": id_}
        case _:
            assert_never(change)


def _schema_change(item: object) -> SchemaChange | None:
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
            return None


def _file_change(item: object) -> FileChange | None:
    match item:
        case {
            "change": "add_files",
            "table_id": int(table_id),
            "files": list(files),
            "persisted_to": int(persisted_to),
        }:
            return AddFiles(table_id, tuple(map(_file, files)), persisted_to)
        case {
            "change": "replace_files",
            "table_id": int(table_id),
            "removed": list(removed),
            "added": list(added),
        }:
            return ReplaceFiles(table_id, tuple(map(str, removed)), tuple(map(_file, added)))
        case {"change": "set_persisted", "to": int(to)}:
            return SetPersisted(to)
        case _:
            return None


def _trash_change(item: object) -> TrashChange | None:
    match item:
        case {
            "change": "trash_database" | "trash_table" as kind,
            "id": int(id_),
            "name": str(name),
            "original": str(original),
            "hard_delete_ns": int() | None as hard_delete_ns,
        }:
            trash = TrashDatabase if kind == "trash_database" else TrashTable
            return trash(id_, name, original, hard_delete_ns)
        case {"change": "purge_database", "id": int(id_)}:
            return PurgeDatabase(id_)
        case {"change": "purge_table", "id": int(id_)}:
            return PurgeTable(id_)
        case _:
            return None


def _encode_columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [{"name": column.name, "type": column.type.value} for column in columns]


def _column(item: object) -> Column:
    match item:
        case {"name": str(name), "type": str(kind)}:
            return Column(name, ColumnType(kind))
        case _:
            raise ValueError(f"not a column: {str(item)[:200]}")


def _encode_file(file: ParquetFile) -> dict[str, object]:
    return {
        "path": file.path,
        "rows": file.rows,
        "size_bytes": file.size_bytes,
        "crc32c": file.crc32c,
        "min_ns": file.min_ns,
        "max_ns": file.max_ns,
        "order": file.order,
    }


def _file(item: object) -> ParquetFile:
    match item:
        case {
            "path": str(path),
            "rows": int(rows),
            "size_bytes": int(size_bytes),
            "crc32c": int(crc32c),
            "min_ns": int(min_ns),
            "max_ns": int(max_ns),
            "order": int(order),
        }:
            return ParquetFile(path, rows, size_bytes, crc32c, min_ns, max_ns, order)
        case _:
            raise ValueError(f"not a file: {str(item)[:200]}")


_DECODERS: tuple[Callable[[object], Change | None], ...] = (
    _schema_change,
    decode_trigger_change,
    decode_pin_change,
    _file_change,
    _trash_change,
)
