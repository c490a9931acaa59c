"""The durable catalog: a log of numbered commits, and one value in memory.

    catalog/<20 digits>.json  commit n, created once, never changed

Opening reads the newest good snapshot, as `engine.catalog.snapshots` writes them, and the commits
after it. A commit is durable before anybody hears of it, so a damaged one, even the last, is never
passed over: rows in the log may belong to what it created.

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
from engine.catalog.codec import decode_commit, decode_snapshot, encode_commit, encode_snapshot
from engine.catalog.fold import apply_all
from engine.catalog.objects import (
    COMMITS,
    SNAPSHOTS,
    ObjectExists,
    Objects,
    object_key,
    object_number,
)
from engine.catalog.state import Catalog
from engine.errors import CatalogConflict, CorruptCatalog, DiskFailed, InconsistentChange
from engine.faultpoint import reach

__all__ = ["CatalogStore", "Listener"]

log = logging.getLogger(__name__)

_REMEDY = "restore the folder from a backup"

Listener = Callable[[Catalog, Sequence[Change]], None]


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
        commits = {object_number(key): key for key in objects.list(COMMITS)}
        catalog = _newest_snapshot(objects, has_commits=bool(commits))
        last = max(commits, default=0)
        for number in range(catalog.number + 1, last + 1):
            key = object_key(COMMITS, number)
            if number not in commits:
                raise CorruptCatalog(
                    f"{key} is missing, though {commits[last]} is there; {_REMEDY}"
                )
            catalog = _replay(catalog, key, objects.get(key))
        newest = max(map(object_number, objects.list(SNAPSHOTS)))
        if catalog.number < newest:  # it is damaged, and commits are missing
            key = object_key(COMMITS, catalog.number + 1)
            raise CorruptCatalog(f"{key} is missing, though it has been there; {_REMEDY}")
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
        reach("catalog.commit_written")
        self._deliver()
        reach("catalog.commit_told")
        return after

    def close(self) -> None:
        """Refuse commits from now on: another server may be about to use the files."""
        with self._commit_lock:
            self._failure = "the catalog is closed"

    def _write(self, number: int, changes: Sequence[Change]) -> None:
        if self._failure is not None:
            raise DiskFailed(self._failure)
        key = object_key(COMMITS, number)
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
    keys = objects.list(SNAPSHOTS)
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
        raise CorruptCatalog(
            f"no snapshot in {SNAPSHOTS}/, though {COMMITS}/ has commits; {_REMEDY}"
        )
    catalog = Catalog.empty(str(uuid4()))
    objects.create(object_key(SNAPSHOTS, catalog.number), encode_snapshot(catalog))
    return catalog


def _read_snapshot(key: str, content: bytes | None) -> Catalog:
    try:
        catalog = decode_snapshot(content or b"")
    except (ValueError, InconsistentChange) as error:
        raise CorruptCatalog(f"{key} is damaged: {error}; {_REMEDY}") from error
    if catalog.number != object_number(key):
        raise CorruptCatalog(f"{key} is damaged: it holds commit {catalog.number}; {_REMEDY}")
    return catalog


def _replay(catalog: Catalog, key: str, content: bytes | None) -> Catalog:
    try:
        number, changes = decode_commit(content or b"")
        after = apply_all(catalog, changes, number)
    except (ValueError, InconsistentChange) as error:
        raise CorruptCatalog(f"{key} is damaged: {error}; {_REMEDY}") from error
    if after.number != object_number(key):
        raise CorruptCatalog(f"{key} is damaged: it holds commit {after.number}; {_REMEDY}")
    return after
