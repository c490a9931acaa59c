"""Snapshots of the catalog, which keep short what is read at the next start.

    catalog-snapshots/<20 digits>.json  the catalog as of commit n

A thread of its own writes one after every 64 commits, so that no commit waits for it, and sooner
while fewer than two whole ones stand. When it is durable, what the newest whole one *before* it
covers is removed: two whole snapshots stand at any time, and a damaged one loses nothing.
A snapshot that cannot be written is tried again after more commits; all commits stay until then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from engine.catalog.change import Change
from engine.catalog.codec import encode_snapshot, is_whole
from engine.catalog.objects import (
    COMMITS,
    SNAPSHOTS,
    ObjectExists,
    Objects,
    object_key,
    object_number,
)
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.errors import CorruptCatalog
from engine.faultpoint import reach
from engine.service import CrashHandler, Service

__all__ = ["SNAPSHOT_INTERVAL", "Snapshots"]

log = logging.getLogger(__name__)

SNAPSHOT_INTERVAL = 64
_ENOUGH = 2


class Snapshots(Service):
    """Writes the snapshots of one catalog.

    `_changed` guards `_catalog`, the newest, which the committing threads set. The rest belongs to
    the thread of the service: `_whole` has the numbers of the snapshots that are known to be good
    and durable, `_newest` the highest number that is taken, and before `_retry_at` none is tried.
    """

    def __init__(
        self, store: CatalogStore, objects: Objects, on_crash: CrashHandler | None = None
    ) -> None:
        super().__init__("catalog-snapshots", on_crash)
        self._objects = objects
        self._changed = threading.Condition()
        self._whole: list[int] = []
        self._newest = -1
        self._retry_at = 0
        store.subscribe(self._note)
        self._catalog = store.catalog

    def run(self) -> None:
        """Write snapshots as they fall due."""
        while not self.is_stopping:
            seen = self.catch_up()
            with self._changed:
                while self._catalog.number == seen and not self.is_stopping:
                    self._changed.wait()

    def wake(self) -> None:
        """Interrupt the wait."""
        with self._changed:
            self._changed.notify_all()

    def catch_up(self) -> int:
        """Write a snapshot if one is due; for the thread of the service, or before it starts.

        Returns:
            The number of the commit up to which all is done.
        """
        with self._changed:
            catalog = self._catalog
        try:
            if self._newest < 0:
                self._look()
            if self._is_due(catalog.number):
                self._write(catalog)
        except (OSError, ObjectExists, CorruptCatalog) as error:
            self._retry_at = catalog.number + SNAPSHOT_INTERVAL
            log.warning(
                "catalog snapshot failed; the next one is tried after more commits",
                extra={"commit": catalog.number, "reason": str(error)},
            )
        return catalog.number

    def _note(self, catalog: Catalog, _changes: Sequence[Change]) -> None:
        with self._changed:
            self._catalog = catalog
            self._changed.notify_all()

    def _look(self) -> None:
        """Find out which snapshots are whole, and remove what a crash left."""
        keys = self._objects.list(SNAPSHOTS)
        whole = [key for key in keys if is_whole(self._objects.get(key) or b"")]
        self._whole = [object_number(key) for key in whole]
        self._remove_covered()
        self._newest = max(map(object_number, self._objects.list(SNAPSHOTS)))

    def _is_due(self, number: int) -> bool:
        if number <= self._newest or number < self._retry_at:
            return False
        return len(self._whole) < _ENOUGH or number >= self._newest + SNAPSHOT_INTERVAL

    def _write(self, catalog: Catalog) -> None:
        self._newest = catalog.number  # from here on its key may be taken
        self._objects.create(object_key(SNAPSHOTS, catalog.number), encode_snapshot(catalog))
        reach("catalog.snapshot_written")
        self._whole.append(catalog.number)
        self._remove_covered()

    def _remove_covered(self) -> None:
        """Remove what nobody reads while the newest two whole snapshots are there."""
        if len(self._whole) < _ENOUGH:
            return
        self._whole = self._whole[-_ENOUGH:]
        for key in self._objects.list(COMMITS):
            if object_number(key) <= self._whole[0]:
                self._objects.delete(key)
                reach("catalog.commit_removed")
        for key in self._objects.list(SNAPSHOTS):
            if object_number(key) not in self._whole:
                self._objects.delete(key)
                reach("catalog.snapshot_removed")
