"""The durable catalog: a log of numbered commits, a snapshot now and then, one value in memory.

    catalog/<20 digits>.json            commit n, created once, never changed
    catalog-snapshots/<20 digits>.json  the catalog as of commit n

Opening reads the newest good snapshot and the commits after it. Every 64 commits a snapshot is
written; when it is durable, what the snapshot *before* it covers is removed, so that two snapshots
stand at any time and a damaged one loses nothing.

`catalog` may be read from any thread. `update` may be called from any thread; commits are made one
after the other. Listeners hear of commits in order, in the thread of whoever commits, and have
heard of a commit when its `update` returns (a listener that itself calls `update` excepted).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from uuid import uuid4

from engine.catalog.change import Change, Decide
from engine.catalog.codec import (
    decode_commit,
    decode_snapshot,
    encode_commit,
    encode_snapshot,
)
from engine.catalog.fold import apply_all
from engine.catalog.objects import ObjectExists, Objects
from engine.catalog.state import Catalog
from engine.errors import CatalogConflict, CorruptCatalog, DiskFailed, InconsistentChange

__all__ = ["SNAPSHOT_INTERVAL", "CatalogStore", "Listener"]

log = logging.getLogger(__name__)

Listener = Callable[[Catalog, Sequence[Change]], None]

SNAPSHOT_INTERVAL = 64
_COMMITS = "catalog"
_SNAPSHOTS = "catalog-snapshots"


class CatalogStore:
    """The catalog of one installation.

    `_commit_lock` is held while a commit is decided and written, because each is decided on the
    state after the one before; it guards `_failure`, the writing of `_catalog` and of
    `_listeners`, and the filling of `_news`. `_delivery_lock` is held
    while listeners run, which orders what they hear; `_deliverer` is the thread that holds it.
    Listeners must be quick and must not wait for another thread that may be in `update`.
    """

    def __init__(self, objects: Objects, catalog: Catalog) -> None:
        self._objects = objects
        self._catalog = catalog
        self._failure: str | None = None
        self._commit_lock = threading.Lock()
        self._delivery_lock = threading.Lock()
        self._deliverer: int | None = None
        self._news: deque[tuple[Catalog, Sequence[Change]]] = deque()
        self._listeners: tuple[Listener, ...] = ()

    def __repr__(self) -> str:
        """Describe the state in a sentence."""
        return f"<CatalogStore on {self._objects!r}: {self._failure or self._catalog!r}>"

    @classmethod
    def open(cls, objects: Objects) -> CatalogStore:
        """Read the catalog; at the first use make one, with a new uuid.

        Raises:
            CorruptCatalog: a file is damaged or missing; the message names it.
            OSError: the files cannot be read or written.
        """
        commits = {_number(key): key for key in objects.list(_COMMITS)}
        catalog = _newest_snapshot(objects, has_commits=bool(commits))
        last = max(commits, default=0)
        for number in range(catalog.number + 1, last + 1):
            key = _key(_COMMITS, number)
            if number not in commits:
                raise CorruptCatalog(f"{key} is missing, though {commits[last]} is there")
            catalog = _replay(catalog, key, objects.get(key))
        log.info("catalog opened", extra={"uuid": catalog.uuid, "commit": catalog.number})
        return cls(objects, catalog)

    @property
    def catalog(self) -> Catalog:
        """The catalog as of the last commit."""
        return self._catalog

    def subscribe(self, listener: Listener) -> None:
        """Call a listener after every later commit, with the new catalog and the changes."""
        with self._commit_lock:
            self._listeners = (*self._listeners, listener)

    def update(self, decide: Decide) -> Catalog:
        """Commit the changes that `decide` derives from the newest catalog.

        Args:
            decide: called once, while no other commit can be made; must not block. Whatever it
                raises is passed on, and nothing has changed. No changes: nothing is written.

        Returns:
            The catalog after the commit, durable and published.

        Raises:
            InconsistentChange: the changes do not fit the catalog; nothing has changed.
            CatalogConflict: another process writes to the same catalog.
            DiskFailed: the commit could not be made durable.
        """
        with self._commit_lock:
            before = self._catalog
            changes = tuple(decide(before))
            if not changes:
                return before
            after = apply_all(before, changes, before.number + 1)
            self._write(after.number, changes)
            self._catalog = after
            self._news.append((after, changes))
            if after.number % SNAPSHOT_INTERVAL == 0:
                self._snapshot(after)
        self._deliver()
        return after

    def _write(self, number: int, changes: Sequence[Change]) -> None:
        if self._failure is not None:
            raise DiskFailed(self._failure)
        key = _key(_COMMITS, number)
        try:
            self._objects.create(key, encode_commit(number, changes))
        except ObjectExists:
            raise CatalogConflict(
                f"another process has written {key}; two servers must not share a data directory"
            ) from None
        except OSError as error:
            if self._may_be_stored(key):
                self._failure = (
                    f"it is unknown whether {key} is durable ({error}); restart the server"
                )
            raise DiskFailed(f"cannot write {key}: {error}") from error

    def _may_be_stored(self, key: str) -> bool:
        """Whether a failed write may be seen after a restart, so that no other may follow it."""
        try:
            return self._objects.get(key) is not None
        except OSError:
            return True

    def _snapshot(self, catalog: Catalog) -> None:
        """Write a snapshot and remove what the one before it covers; the commit stands anyway."""
        try:
            older = [_number(key) for key in self._objects.list(_SNAPSHOTS)]
            self._objects.create(_key(_SNAPSHOTS, catalog.number), encode_snapshot(catalog))
            covered = max((n for n in older if n < catalog.number), default=0)
            for key in self._objects.list(_COMMITS):
                if _number(key) <= covered:
                    self._objects.delete(key)
            for number in older:
                if number < covered:
                    self._objects.delete(_key(_SNAPSHOTS, number))
        except (OSError, ObjectExists) as error:
            log.warning(
                "catalog snapshot failed; the next one is tried after more commits",
                extra={"commit": catalog.number, "reason": str(error)},
            )

    def _deliver(self) -> None:
        if self._deliverer == threading.get_ident():
            return  # a listener has committed: the loop below, further up, will tell
        with self._delivery_lock:
            self._deliverer = threading.get_ident()
            try:
                while self._news:
                    self._tell(*self._news.popleft())
            finally:
                self._deliverer = None

    def _tell(self, catalog: Catalog, changes: Sequence[Change]) -> None:
        for listener in self._listeners:
            try:
                listener(catalog, changes)
            except Exception:
                log.exception("catalog listener failed", extra={"commit": catalog.number})


def _newest_snapshot(objects: Objects, *, has_commits: bool) -> Catalog:
    keys = objects.list(_SNAPSHOTS)
    reasons = []
    for key in reversed(keys):
        try:
            return _read_snapshot(key, objects.get(key))
        except CorruptCatalog as error:
            log.warning("damaged catalog snapshot skipped", extra={"reason": str(error)})
            reasons.append(str(error))
    if reasons:
        raise CorruptCatalog("; ".join(reasons))
    if has_commits:
        raise CorruptCatalog(f"no snapshot in {_SNAPSHOTS}/, though {_COMMITS}/ has commits")
    catalog = Catalog.empty(str(uuid4()))
    objects.create(_key(_SNAPSHOTS, catalog.number), encode_snapshot(catalog))
    return catalog


def _read_snapshot(key: str, content: bytes | None) -> Catalog:
    try:
        catalog = decode_snapshot(content or b"")
    except (ValueError, InconsistentChange) as error:
        raise CorruptCatalog(f"{key} is damaged: {error}") from error
    if catalog.number != _number(key):
        raise CorruptCatalog(f"{key} is damaged: it holds commit {catalog.number}")
    return catalog


def _replay(catalog: Catalog, key: str, content: bytes | None) -> Catalog:
    try:
        number, changes = decode_commit(content or b"")
        after = apply_all(catalog, changes, number)
    except (ValueError, InconsistentChange) as error:
        raise CorruptCatalog(f"{key} is damaged: {error}") from error
    if after.number != _number(key):
        raise CorruptCatalog(f"{key} is damaged: it holds commit {after.number}")
    return after


def _key(folder: str, number: int) -> str:
    return f"{folder}/{number:020}.json"


def _number(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".json")
    if not (name.isdigit() and key.endswith(".json")):
        raise CorruptCatalog(f"{key} is not a file of the catalog; move it away")
    return int(name)
