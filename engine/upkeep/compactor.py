"""The compactor: files of a table are put together, as `engine.upkeep.planning` says.

The files of a group are checked, merged oldest first, and written as one, or slice by slice as
several; one commit puts these in their place, and the old ones go when nobody reads them any more.
A crash before the commit leaves new files unnamed, after it old ones; the next start sweeps either.
When the table has lost one of them meanwhile, to retention or to deletion, the work was for
nothing; likewise when the server stops between two slices.

A commit that fails is tried again with the same files: it is not known whether the catalog names
them after a restart, and writing others each time would fill the disk.

A damaged file is reported once and left alone, as is what cannot be merged without it: what is
wrong there is for a backup. So are files with more rows of one time than memory should hold, files
whose texts are too large for it, and whatever Arrow fails to put together.

Threads: `wake` from any; the rest in its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from engine.upkeep.merging import MergeStopped, TooDense, merge_files
from engine.upkeep.pause import Pause
from engine.upkeep.planning import next_group, rows_limit
from engine.upkeep.quiet import Quiet
from engine.upkeep.weights import TooLarge, Weights
from engine.upkeep.writing import Kept, give_back_memory, oldest_kept_ns

__all__ = ["Compactor"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Swap:
    """Files of a table that wait for the commit which puts them in the place of others."""

    table: Table
    removed: tuple[str, ...]
    added: tuple[ParquetFile, ...]


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
        self._weights = Weights(files)
        self._pending: _Swap | None = None
        self._barred: set[str] = set()  # paths of files that are left alone

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
        if self._pending is not None:
            self._commit(self._pending)
            return True
        catalog = self._catalog.catalog
        for table in self._unsettled(catalog):
            max_rows = rows_limit(len(table.schema.columns) + 1)
            while group := self._next_group(table, max_rows):
                if self._try(catalog, table, group):
                    return True
            self._settled[table.id] = table.files
        return False

    def _unsettled(self, catalog: Catalog) -> Iterator[Table]:
        for database in catalog.databases.values():
            for table in database.tables.values():
                if len(table.files) > 1 and self._settled.get(table.id) is not table.files:
                    yield table

    def _next_group(self, table: Table, max_rows: int) -> tuple[ParquetFile, ...]:
        """Return what planning says, each file with the rows that it counts as."""
        return next_group(self._weights.counted(table, max_rows), max_rows, self._barred)

    def _try(self, catalog: Catalog, table: Table, group: Sequence[ParquetFile]) -> bool:
        """Compact a group, or leave alone from now on what stands against it.

        Returns:
            Whether it is done with; else another group may be the next one.
        """
        barred = {file.path for file in group}
        try:
            return self._compact(catalog, table, group)
        except DamagedFile as error:
            barred, level, why = {error.path}, logging.ERROR, str(error)
        except TooLarge as error:
            barred, level, why = {error.path}, logging.WARNING, str(error)
        except TooDense as error:
            level, why = logging.WARNING, str(error)
        except pa.ArrowException as error:
            level, why = logging.ERROR, f"they cannot be put together ({error})"
        self._barred |= barred
        log.log(level, "files are left as they are", extra={"table": table.name, "why": why})
        return False

    def _compact(self, catalog: Catalog, table: Table, group: Sequence[ParquetFile]) -> bool:
        kept = Kept(
            oldest_kept_ns(catalog, table, self._clock.now_ns()),
            order=max(file.order for file in group),
        )
        paths = [file.path for file in group]
        with self._files.pin(paths):
            if not _named(self._catalog.catalog, table.id).issuperset(paths):
                return True  # they have gone meanwhile
            if self._weights.learn(table, group, rows_limit(len(table.schema.columns) + 1)):
                return False  # they are more than it seemed
            try:
                added = merge_files(self._files, table, group, kept, self._check)
            except MergeStopped:
                return True
        reach("compact.files_written")
        self._pending = _Swap(table, tuple(paths), tuple(added))
        self._commit(self._pending)
        return True

    def _commit(self, swap: _Swap) -> None:
        table = swap.table
        with self._quiet.hold():
            after = self._catalog.update(replace_files(table.id, swap.removed, swap.added))
            reach("compact.catalog_committed")
        self._pending = None
        named = _named(after, table.id)
        self._files.discard({*swap.removed, *(file.path for file in swap.added)} - named)
        reach("compact.files_discarded")
        give_back_memory()
        rows = sum(file.rows for file in swap.added)
        facts = {"table": table.name, "files": len(swap.removed), "rows": rows}
        log.info("files compacted", extra=facts)

    def _check(self) -> None:
        if self.is_stopping:
            raise MergeStopped


def _named(catalog: Catalog, table_id: int) -> set[str]:
    table = catalog.table_by_id(table_id)
    return set() if table is None else {file.path for file in table.files}
