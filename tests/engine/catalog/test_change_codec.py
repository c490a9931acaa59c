import json
import re
from pathlib import Path
from typing import get_args

import pytest

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
    PinEnvironment,
    PurgeDatabase,
    PurgeTable,
    ReplaceFiles,
    RequireTrigger,
    SetPersisted,
    SetRetention,
    TrashDatabase,
    TrashTable,
    UnpinEnvironment,
)
from engine.catalog.change_codec import decode_change, encode_change
from engine.model.file import ParquetFile
from engine.model.grants import parse_grants
from engine.model.limits import Limits
from engine.model.lock import Asked, Reason, lock_of
from engine.model.schema import Column, ColumnType
from engine.model.trigger import AllTablesSpec, Trigger, TriggerSettings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "catalog-format.md"
HOST = (Column("host", ColumnType.TAG),)
FILE = ParquetFile("parquet/1/2/2025-01-01/1-a.parquet", 1, 2, 3, -4, 5, 6)
LOCK = lock_of("3.11", "linux-x86_64", "adtk==0.6.2 \\\n    --hash=sha256:aa\n")
TRIGGER = Trigger(4, 1, "t", "p.py", AllTablesSpec(), TriggerSettings(), None, False, 1)
ALL: tuple[Change, ...] = (
    CreateDatabase(1, "db", None),
    SetRetention(1, 5),
    CreateTable(2, 1, "cpu", HOST),
    AddColumns(2, HOST),
    CreateTrigger(TRIGGER),
    EnableTrigger(4, 9),
    DisableTrigger(4),
    ConfineTrigger(4, parse_grants(["net=self"]), Limits(cpu=0.5)),
    RequireTrigger(4, ("adtk", "pandas<3")),
    DeleteTrigger(4),
    AddLock(LOCK),
    PinEnvironment(4, Asked(("adtk",), ">=3.11"), LOCK.id, 5, Reason.ROLLED_BACK),
    UnpinEnvironment(4),
    AddFiles(2, (FILE,), 7),
    ReplaceFiles(2, ("a", "b"), (FILE,)),
    SetPersisted(8),
    TrashDatabase(1, "db-gone", "db", None),
    TrashTable(2, "cpu-gone", "cpu", 5),
    PurgeDatabase(1),
    PurgeTable(2),
)


@pytest.mark.parametrize("change", ALL)
def test_change_reads_back(change: Change) -> None:
    assert decode_change(json.loads(json.dumps(encode_change(change)))) == change


def test_every_kind_is_documented_with_its_fields() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {kind: set(re.findall(r"\w+", fields)) for kind, fields in rows}

    written = {str(item.pop("change")): set(item) for item in map(encode_change, ALL)}
    assert {type(change) for change in ALL} == set(get_args(Change))
    assert documented == written


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        {"change": "create"},
        {"change": "create_database", "id": "1", "name": "db", "retention_ns": None},
        {"change": "add_files", "table_id": 2, "files": [{"path": "a"}], "persisted_to": 7},
        {"change": "add_columns", "table_id": 2, "columns": [{"name": "a"}]},
        {"change": "add_columns", "table_id": 2, "columns": [{"name": "a", "type": "x"}]},
        {"change": "trash_table", "id": 2, "name": "a", "original": "b"},
        {"change": "create_trigger", "trigger": {}},
        {"change": "require_trigger", "id": 4, "requirements": "adtk"},
        {"change": "add_lock", "id": "a", "python": "3.11", "platform": "linux-x86_64"},
        {**encode_change(ALL[11]), "reason": "whim"},
    ],
)
def test_anything_else_is_no_change(item: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_change(item)
