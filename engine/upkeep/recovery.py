"""Bring everything durable back after a start: catalog, files, log, and the rows in memory.

The order: the log's folder is locked, so that no other server is there; the catalog is read; files
that it does not name are swept; segments whose rows are all in files are only looked at; the rest
of the log is read, and its rows go to memory but for those that are in files. Each step is logged
with what it found and how long it took.

The catalog and the log must fit: rows that are in no file must be in the log. If the log is gone,
or begins after the entry from which on rows are in no file, somebody has taken segments away, and
the server refuses to start. If it ends before what the catalog says was in it, a repair has cut it;
then it goes on behind that, because new entries must not get numbers that count as persisted, or as
older than a trigger.

Called once, by the owner's thread, before anything else runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.catalog.objects import LocalObjects
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.config import WalConfig
from engine.errors import CorruptLog
from engine.model.entry import CheckpointEntry
from engine.storage.buffer import HotBuffer
from engine.storage.files import Files
from engine.upkeep.tables import tables_of
from engine.wal.log import Log

__all__ = ["Recovered", "phase", "recover"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a server stands on; the caller closes the log.

    Args:
        objects: where the catalog is kept.
        catalog: as of its last commit.
        files: swept.
        log: open.
        buffer: with all rows that are in no file.
    """

    objects: LocalObjects
    catalog: CatalogStore
    files: Files
    log: Log
    buffer: HotBuffer


def recover(root: Path, config: WalConfig) -> Recovered:
    """Open what is below a node's folder, which is made if need be.

    Args:
        root: the node's folder.
        config: of the log.

    Raises:
        LogInUse: another server uses the folder.
        CorruptCatalog, CorruptLog: durable state is damaged; the message says where.
        DiskFailed, OSError: the disk refused.
    """
    opened: list[tuple[LocalObjects, CatalogStore]] = []

    def open_catalog() -> int:
        with phase("catalog opened") as facts:
            objects = LocalObjects(root)
            catalog = CatalogStore.open(objects)
            facts["commit"] = catalog.catalog.number
        if catalog.catalog.number and not any((root / "wal").glob("*.wal")):
            raise _taken_away("holds no segments", catalog.catalog)
        opened.append((objects, catalog))
        return catalog.catalog.persisted_to

    with phase("log opened") as facts:
        wal = Log.open(root / "wal", segment_bytes=config.segment_bytes, checked_from=open_catalog)
        facts["end"] = wal.next_sequence
    try:
        objects, catalog = opened[0]
        _fit(catalog.catalog, wal)
        files = Files(root)
        with phase("files swept") as facts:
            known = {file.path for t in tables_of(catalog.catalog) for file in t.files}
            facts["files"], facts["removed"] = len(known), files.sweep(known)
        return Recovered(objects, catalog, files, wal, _replayed(catalog.catalog, wal))
    except BaseException:
        wal.close()
        raise


def _needed(catalog: Catalog) -> int:
    """Return the sequence below which entries have been in the log."""
    tables = (table.persisted_to for table in tables_of(catalog))
    triggers = (trigger.start for trigger in catalog.triggers.values())
    return max([catalog.persisted_to, *tables, *triggers])


def _fit(catalog: Catalog, wal: Log) -> None:
    if wal.first_sequence > catalog.persisted_to:
        raise _taken_away(f"begins with entry {wal.first_sequence}", catalog)
    if wal.next_sequence < _needed(catalog):
        lost = {"end": wal.next_sequence, "go_on_at": _needed(catalog)}
        log.warning("the log ends before what was in it; it was repaired", extra=lost)
        wal.skip_to(_needed(catalog))


def _taken_away(what: str, catalog: Catalog) -> CorruptLog:
    return CorruptLog(
        f"the write-ahead log {what}, but rows of the entries from {catalog.persisted_to} on are "
        "in no file: segments have been taken away; restore them, or the whole folder from a backup"
    )


def _replayed(catalog: Catalog, wal: Log) -> HotBuffer:
    buffer = HotBuffer()
    known = set()
    for table in tables_of(catalog):
        buffer.start_at(table.database_id, table.id, table.persisted_to)
        known.add(table.id)
    with phase("log replayed") as facts:
        facts["start"] = catalog.persisted_to
        for read in wal.read(catalog.persisted_to):
            buffer.append(read.first, read.entries)
            for entry in read.entries:
                if not isinstance(entry, CheckpointEntry):
                    for part in entry.tables:
                        if part.table_id not in known:
                            buffer.drop_table(part.table_id)  # deleted for good since
        facts["entries"] = wal.next_sequence - catalog.persisted_to
        facts["rows"] = sum(load.rows for load in buffer.tables())
    return buffer


@contextmanager
def phase(event: str) -> Iterator[dict[str, object]]:
    """Log a step of a start when it is done, with the facts that it has put together."""
    facts: dict[str, object] = {}
    start_s = time.monotonic()
    yield facts
    log.info(event, extra={**facts, "seconds": round(time.monotonic() - start_s, 3)})
