from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.catalog.deletion import At, delete_table, purge_due
from engine.catalog.missing import create_missing
from engine.clock import ManualClock
from engine.config import StorageConfig, WalConfig
from engine.errors import CorruptLog, LogInUse
from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.trigger import AllTablesSpec, TriggerSettings
from engine.upkeep.persister import Persister
from engine.upkeep.quiet import Quiet
from engine.upkeep.recovery import Recovered, recover
from tests.persisting import COLUMNS, batch

CONFIG = WalConfig(segment_bytes=2000)


def create(node: Recovered) -> None:
    node.catalog.update(create_database("db"))
    missing = dict.fromkeys(("cpu", "mem"), COLUMNS)
    node.catalog.update(lambda catalog: create_missing(catalog, "db", missing))


def write(node: Recovered, time: int, name: str = "cpu") -> None:
    table = node.catalog.catalog.database("db").tables[name]
    part = TableRows(
        table.database_id, table.id, batch([{"host": "a", "usage": 1.0, "time": time}])
    )
    entry = WriteEntry(Client(), table.database_id, (), None, (part,))
    node.buffer.append(node.log.append([entry]), [entry])


def persist(node: Recovered) -> None:
    Persister(
        node.catalog,
        node.buffer,
        node.files,
        ManualClock(),
        StorageConfig(),
        quiet=Quiet(),
        on_persisted=lambda: None,
    ).persist_all()


def rows(node: Recovered) -> int:
    return sum(load.rows for load in node.buffer.tables())


def test_a_new_folder_is_an_empty_node(tmp_path: Path) -> None:
    node = recover(tmp_path / "a" / "node", CONFIG)

    assert (node.catalog.catalog.persisted_to, rows(node), node.buffer.end) == (1, 0, 2)
    with pytest.raises(LogInUse):
        recover(tmp_path / "a" / "node", CONFIG)
    node.log.close()


def test_only_rows_that_are_in_no_file_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = recover(tmp_path, CONFIG)
    create(node)
    write(node, 1)
    write(node, 2, "mem")
    persist(node)
    write(node, 3)
    end = node.buffer.end
    node.log.close()
    (tmp_path / "parquet" / "left").write_bytes(b"by a crash")

    with caplog.at_level(logging.INFO):
        again = recover(tmp_path, CONFIG)

    table = again.catalog.catalog.database("db").tables["cpu"]
    assert rows(again) == 1
    assert again.buffer.end == end
    assert again.buffer.snapshot(table.id, table.schema).start == table.persisted_to > 1
    assert again.buffer.read(1, table.database_id, None, 9, 9**9) is None
    assert not (tmp_path / "parquet" / "left").exists()
    told = {record.message: record for record in caplog.records}
    assert told["files swept"].__dict__["removed"] == 1
    assert told["log replayed"].__dict__["rows"] == 1
    assert told["catalog opened"].__dict__["seconds"] >= 0
    again.log.close()


def test_rows_of_one_table_in_files_and_of_another_in_the_log_come_back_once(
    tmp_path: Path,
) -> None:
    node = recover(tmp_path, CONFIG)
    create(node)
    write(node, 1, "mem")
    write(node, 2)
    table = node.catalog.catalog.database("db").tables["cpu"]
    persister = Persister(
        node.catalog,
        node.buffer,
        node.files,
        ManualClock(),
        StorageConfig(),
        quiet=Quiet(),
        on_persisted=lambda: None,
    )
    persister._round([load for load in node.buffer.tables() if load.table_id == table.id])  # noqa: SLF001
    node.log.close()

    again = recover(tmp_path, CONFIG)

    assert [load.table_id for load in again.buffer.tables()] != [table.id]
    assert rows(again) == 1
    again.log.close()


def test_rows_of_a_table_that_was_removed_for_good_stay_away(tmp_path: Path) -> None:
    node = recover(tmp_path, CONFIG)
    create(node)
    write(node, 1)
    write(node, 2, "mem")
    node.catalog.update(delete_table("db", "cpu", 5, At(5)))
    node.catalog.update(purge_due(5))
    node.log.close()

    again = recover(tmp_path, CONFIG)

    assert rows(again) == 1
    again.log.close()


@pytest.mark.parametrize("is_persisted", [False, True])
def test_a_log_that_was_taken_away_is_not_replaced_by_an_empty_one(
    tmp_path: Path,
    is_persisted: bool,
) -> None:
    node = recover(tmp_path, CONFIG)
    create(node)
    write(node, 1)
    if is_persisted:
        persist(node)
    node.log.close()
    for path in (tmp_path / "wal").glob("*.wal"):
        path.unlink()

    for _ in range(2):
        with pytest.raises(CorruptLog, match=r"holds no segments.*restore them"):
            recover(tmp_path, CONFIG)


def test_a_log_whose_first_segments_were_taken_away_is_refused(tmp_path: Path) -> None:
    node = recover(tmp_path, CONFIG)
    create(node)
    for time in range(20):
        write(node, time)
    first = node.log.segments()[0]
    node.log.close()
    (tmp_path / "wal" / f"{first[0]:020}.wal").unlink()

    with pytest.raises(
        CorruptLog, match=f"begins with entry {first[1]}, but rows of the entries f"
    ):
        recover(tmp_path, CONFIG)


def test_new_entries_never_get_numbers_from_before_the_start_of_a_trigger(tmp_path: Path) -> None:
    node = recover(tmp_path, CONFIG)
    create(node)
    new = NewTrigger("db", "t", "p.py", AllTablesSpec(), TriggerSettings(), {})
    node.catalog.update(create_trigger(new, start=500, now_ns=0))
    node.log.close()

    again = recover(tmp_path, CONFIG)
    write(again, 1)

    assert again.log.next_sequence > 500
    again.log.close()


def test_new_entries_never_get_numbers_that_count_as_persisted(tmp_path: Path) -> None:
    node = recover(tmp_path, WalConfig())
    create(node)
    for time in range(10):
        write(node, time)
    persist(node)
    needed = node.catalog.catalog.persisted_to
    node.log.close()
    (segment,) = (tmp_path / "wal").glob("*.wal")
    content = segment.read_bytes()
    segment.write_bytes(content[:1500])  # a repair cuts like this; here it is a torn tail

    again = recover(tmp_path, CONFIG)
    write(again, 99)

    assert again.log.next_sequence > needed
    assert rows(again) == 1
    again.log.close()
    last = recover(tmp_path, CONFIG)
    assert rows(last) == 1
    last.log.close()
