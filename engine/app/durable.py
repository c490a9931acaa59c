"""What outlives the process: catalog and log, the hot buffer over them, and the way in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from engine.catalog.snapshots import Snapshots
from engine.clock import SystemClock
from engine.config import Config
from engine.ingest.internal import InternalTables
from engine.ingest.writer import Writer
from engine.model.entry import CheckpointEntry, Entry, TableRows
from engine.service import CrashHandler
from engine.storage.arrivals import Arrivals
from engine.triggers.wal_feed import WalFeed
from engine.upkeep.quiet import Quiet
from engine.upkeep.recovery import recover
from engine.wal.flusher import Committer

__all__ = ["DurableState"]


class DurableState:
    """Catalog, log and hot buffer, and the way into them."""

    def __init__(self, config: Config, on_crash: CrashHandler, closing: ExitStack) -> None:
        """Bring back what is on the disk; see `engine.upkeep.recovery` for what is raised."""
        self.root = Path(config.data_dir).absolute() / config.node_id
        recovered = recover(self.root, config.wal)
        self.log, self.catalog = recovered.log, recovered.catalog
        self.files, self.buffer = recovered.files, recovered.buffer
        closing.callback(self.log.close)
        closing.callback(self.catalog.close)  # before the log, which lets the next server in
        self.quiet = Quiet()
        self.arrivals = Arrivals()
        self.internal = InternalTables(self.catalog)
        self.feed = WalFeed(config.wal.flush_interval_s, self._announce, on_crash)
        # Set once there is somebody who wants to know.
        self.announce_to: Callable[[int, int], None] = lambda _database_id, _end: None
        self.note_rows: Callable[[], None] = lambda: None
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
        self._snapshots = Snapshots(self.catalog, recovered.objects, on_crash)
        self._closing = closing

    def start(self) -> None:
        """Begin to take entries."""
        self._snapshots.start()
        self._closing.callback(self._snapshots.stop)
        self.committer.start()
        self._closing.callback(self._end_committer)
        self._closing.callback(self.writer.stop)

    def _end_committer(self) -> None:
        """Wait for the disk as long as it takes: the log must not be closed while it is written."""
        while not self.committer.stop():
            pass

    def _publish(self, first: int, entries: Sequence[Entry]) -> None:
        self.buffer.append(first, entries)
        self.arrivals.note(first, entries, self.log.written_ns)
        databases = {table.database_id for entry in entries for table in _tables(entry)}
        self.feed.note(databases, first + len(entries))
        self.note_rows()

    def _announce(self, database_id: int, end: int) -> None:
        self.announce_to(database_id, end)


def _tables(entry: Entry) -> Sequence[TableRows]:
    return () if isinstance(entry, CheckpointEntry) else entry.tables
