"""What outlives the process: catalog and log, the hot buffer over them, and the way in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from engine.catalog.objects import LocalObjects
from engine.catalog.snapshots import Snapshots
from engine.catalog.store import CatalogStore
from engine.clock import SystemClock
from engine.config import Config
from engine.ingest.internal import InternalTables
from engine.ingest.writer import Writer
from engine.model.entry import CheckpointEntry, Entry, TableRows
from engine.service import CrashHandler
from engine.storage.arrivals import Arrivals
from engine.storage.buffer import HotBuffer
from engine.storage.files import Files
from engine.triggers.wal_feed import WalFeed
from engine.upkeep.quiet import Quiet
from engine.wal.flusher import Committer
from engine.wal.log import Log

__all__ = ["DurableState"]

log = logging.getLogger(__name__)


class DurableState:
    """Catalog, log and hot buffer, and the way into them."""

    def __init__(self, config: Config, on_crash: CrashHandler, closing: ExitStack) -> None:
        root = Path(config.data_dir) / config.node_id
        self.log = Log.open(root / "wal", segment_bytes=config.wal.segment_bytes)
        closing.callback(self.log.close)
        objects = LocalObjects(root)
        self.catalog = CatalogStore.open(objects)
        self.files = Files(root)
        self.quiet = Quiet()
        self._snapshots = Snapshots(self.catalog, objects, on_crash)
        self.internal = InternalTables(self.catalog)
        self.buffer = HotBuffer()
        self.arrivals = Arrivals()
        self.feed = WalFeed(config.wal.flush_interval_s, self._announce, on_crash)
        self.announce_to: Callable[[int, int], None] = lambda _database_id, _end: None
        self.committer = Committer(
            self.log, self._publish, config.wal.max_pending_bytes, on_crash=on_crash
        )
        self.writer = Writer(
            self.catalog,
            self.committer,
            SystemClock(),
            buffered_bytes=lambda: self.buffer.bytes,
            hot_buffer_bytes=config.storage.hot_buffer_bytes,
            max_pending_bytes=config.wal.max_pending_bytes,
        )
        self._closing = closing

    def recover(self) -> None:
        """Fill the hot buffer from the log and begin to take entries."""
        rows = 0
        for read in self.log.read(self.log.first_sequence):
            self.buffer.append(read.first, read.entries)
            rows += sum(table.rows.num_rows for entry in read.entries for table in _tables(entry))
        log.info("log replayed", extra={"entries": self.log.next_sequence - 1, "rows": rows})
        self._snapshots.start()
        self._closing.callback(self._snapshots.stop)
        self.committer.start()
        self._closing.callback(self.committer.stop)
        self._closing.callback(self.writer.stop)

    def _publish(self, first: int, entries: Sequence[Entry]) -> None:
        self.buffer.append(first, entries)
        self.arrivals.note(first, entries, self.log.written_ns)
        databases = {table.database_id for entry in entries for table in _tables(entry)}
        self.feed.note(databases, first + len(entries))

    def _announce(self, database_id: int, end: int) -> None:
        self.announce_to(database_id, end)


def _tables(entry: Entry) -> Sequence[TableRows]:
    return () if isinstance(entry, CheckpointEntry) else entry.tables
