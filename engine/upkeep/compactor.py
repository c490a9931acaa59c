"""The compactor: many files of a table become few, as `engine.upkeep.planning` says.

The files of a group are read with their checksums, oldest first, merged, and written as one; a
commit puts it in their place, and they go when nobody reads them any more. A crash before the
commit leaves the new file unnamed, after it the old ones; the next start sweeps either. When the
table has lost one of them meanwhile, to retention or to deletion, the work was for nothing.

A damaged file is reported once and its table left alone: what is wrong there is for a backup.

Threads: `wake` from any; the rest in its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa

from engine.catalog.filing import replace_files
from engine.catalog.state import Catalog, Table
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.errors import DamagedFile, EngineError
from engine.faultpoint import reach
from engine.model.file import ParquetFile
from engine.service import CrashHandler, Service
from engine.storage.files import Files
from engine.storage.parquet import read_file
from engine.upkeep.pause import Pause
from engine.upkeep.planning import next_group, rows_limit
from engine.upkeep.quiet import Quiet
from engine.upkeep.writing import Kept, give_back_memory, oldest_kept_ns, write_rows

__all__ = ["Compactor"]

log = logging.getLogger(__name__)


class Compactor(Service):
    """See the module for the plan and the threads.

    Args:
        catalog: names the files.
        files: where they are.
        clock: for retention.
        quiet: held for each commit.
        on_crash: see `Service`.
    """

    def __init__(
        self,
        catalog: CatalogStore,
        files: Files,
        clock: Clock,
        *,
        quiet: Quiet,
        on_crash: CrashHandler | None = None,
    ) -> None:
        super().__init__("compactor", on_crash)
        self._catalog = catalog
        self._files = files
        self._clock = clock
        self._quiet = quiet
        self._wanted = threading.Event()
        # By table, the files for which there was nothing to do.
        self._settled: dict[int, tuple[ParquetFile, ...]] = {}
        self._damaged: set[int] = set()

    def wake(self) -> None:
        """Look again; files have come."""
        self._wanted.set()

    def run(self) -> None:
        """Compact until asked to stop, one group at a time."""
        pause = Pause("files cannot be put together; queries read more of them")
        while not self.is_stopping:
            try:
                is_done = not self.compact_one()
                pause.passed()
            except EngineError as error:
                self._stop_requested.wait(pause.failed(error))
                continue
            if is_done:
                self._wanted.wait()
                self._wanted.clear()  # before the work, so that no later call is lost

    def compact_one(self) -> bool:
        """Compact one group of files if there is one to compact; return whether.

        Raises:
            EngineError: the disk or the catalog refused; nothing has changed.
        """
        catalog = self._catalog.catalog
        for table in self._unsettled(catalog):
            group = next_group(table.files, rows_limit(len(table.schema.columns) + 1))
            if not group:
                self._settled[table.id] = table.files
                continue
            problem = self._problem(catalog, table, group)
            if problem is None:
                return True
            self._damaged.add(table.id)
            log.error("table is not compacted", extra={"table": table.name, "why": str(problem)})
        return False

    def _unsettled(self, catalog: Catalog) -> Iterator[Table]:
        for database in catalog.databases.values():
            for table in database.tables.values():
                is_known = self._settled.get(table.id) is table.files
                if len(table.files) > 1 and not is_known and table.id not in self._damaged:
                    yield table

    def _problem(
        self, catalog: Catalog, table: Table, group: Sequence[ParquetFile]
    ) -> DamagedFile | None:
        try:
            self._compact(catalog, table, group)
        except DamagedFile as error:
            return error
        return None

    def _compact(self, catalog: Catalog, table: Table, group: Sequence[ParquetFile]) -> None:
        kept = Kept(
            oldest_kept_ns(catalog, table, self._clock.now_ns()),
            order=max(file.order for file in group),
        )
        paths = [file.path for file in group]
        with self._files.pin(paths):
            if not _named(self._catalog.catalog, table.id).issuperset(paths):
                return  # they have gone meanwhile
            rows = [
                batch for file in group for batch in _batches(read_file(self._files.root, file))
            ]
            added = write_rows(self._files, table, rows, kept)
        reach("compact.files_written")
        with self._quiet.hold():
            # A failed commit may be there after a restart, so its files stay until the next sweep.
            after = self._catalog.update(replace_files(table.id, paths, added))
            reach("compact.catalog_committed")
        named = _named(after, table.id)
        self._files.discard({*paths, *(file.path for file in added)} - named)
        reach("compact.files_discarded")
        give_back_memory()
        log.info(
            "files compacted",
            extra={"table": table.name, "files": len(paths), "rows": sum(f.rows for f in added)},
        )


def _named(catalog: Catalog, table_id: int) -> set[str]:
    table = catalog.table_by_id(table_id)
    return set() if table is None else {file.path for file in table.files}


def _batches(table: pa.Table) -> list[pa.RecordBatch]:
    return [batch for batch in table.to_batches() if batch.num_rows]
