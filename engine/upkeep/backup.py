"""A backup of one moment, made while the server runs.

The moment is short: while files are neither put in place nor removed, the end of the log is read,
then the catalog, then the log's segments are opened and the Parquet files pinned. From then on
nothing can take away what the backup needs, so the transfer may take as long as the client likes
and holds up nobody. The log is taken before the catalog: what stands in the log is then known to
the catalog. No trigger may begin behind the log's end, or it would miss what comes after a
restore; so the log is looked at again when one was created in between.

What is sent is not judged here: the manifest, which comes last, says what each file must hold, and
whoever receives the backup compares. `Backups.begin` may be called by any thread; a stream belongs
to one thread at a time.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import threading
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from engine.catalog.codec import encode_snapshot
from engine.catalog.state import Catalog, Database
from engine.clock import Clock
from engine.errors import Busy
from engine.faultpoint import reach
from engine.model.file import ParquetFile
from engine.upkeep.archive import (
    Member,
    archive_bytes,
    end_pieces,
    member_bytes,
    member_pieces,
)
from engine.upkeep.manifest import MANIFEST, NODE, PLUGINS, BackedUp, Manifest

__all__ = ["BackupStream", "Backups", "Segments", "Site"]

log = logging.getLogger(__name__)

_SNAPSHOTS = "catalog-snapshots"
_WAL = "wal"
_FETCHED = "fetched"
_LEFT_OUT = frozenset(("__pycache__",))


class Segments(Protocol):
    """The write-ahead log, as far as a backup looks at it."""

    def segments(self) -> tuple[tuple[int, int, int], ...]:
        """Return the segments, oldest first: first sequence, end (exclusive), durable bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """What is backed up.

    Args:
        node_id: of the server.
        root: the node's folder.
        plugin_dir: the plugin folder.
        environment_dir: of the plugins' packages, which are left out.
        catalog: returns the newest catalog.
        log: its segments lie in `wal` of the root.
        hold: while it is held, no Parquet file and no segment is put in place or removed.
        pin: keeps Parquet files, named by their paths, from being removed.
        clock: tells the moment.
    """

    node_id: str
    root: Path
    plugin_dir: Path
    environment_dir: Path
    catalog: Callable[[], Catalog]
    log: Segments
    hold: Callable[[], AbstractContextManager[object]]
    pin: Callable[[Collection[str]], AbstractContextManager[object]]
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment of the log that is open: its name, the sequence behind it, its durable bytes."""

    name: str
    end: int
    size_bytes: int
    file: BinaryIO


class BackupStream:
    """A backup as an archive in pieces; `size_bytes` is its whole length."""

    def __init__(self, manifest: Manifest, members: Collection[Member], closing: ExitStack) -> None:
        self._manifest = manifest
        self._members = members
        self._closing = closing
        sizes = [member_bytes(file.path, file.size_bytes) for file in manifest.files]
        self._manifest_bytes = len(manifest.encode())
        sizes.append(member_bytes(MANIFEST, self._manifest_bytes))
        self.size_bytes = archive_bytes(sum(sizes))
        self._pieces = self._archive()

    def __repr__(self) -> str:
        """Describe the stream in a sentence."""
        return f"<BackupStream: {len(self._members)} files, {self.size_bytes} bytes>"

    def next_piece(self) -> bytes | None:
        """Return the next piece, which may be empty; None at the end. Blocks on the disk."""
        return next(self._pieces, None)

    def close(self) -> None:
        """Let files go that were kept for this backup; nothing when they are gone already."""
        self._pieces.close()
        self._closing.close()

    def _archive(self) -> Generator[bytes, None, None]:
        sent: list[BackedUp] = []
        for member in self._members:
            reach("backup.member_begun")
            checksum = yield from member_pieces(member)
            sent.append(BackedUp(member.path, member.size_bytes, _expected(member, checksum)))
        final = _with_files(self._manifest, sent).encode()
        yield from member_pieces(_in_memory(MANIFEST, final, self._manifest.created_ns))
        yield from end_pieces()


class Backups:
    """Makes backups, one at a time; `_lock` guards `_is_busy`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._is_busy = False

    def __repr__(self) -> str:
        """Describe the state in a sentence."""
        return f"<Backups of {self._site.root}: {'one' if self._is_busy else 'none'} under way>"

    def begin(self, *, with_plugins: bool) -> BackupStream:
        """Take hold of everything that belongs to this moment; blocks on the disk.

        Args:
            with_plugins: whether the plugin folder belongs to it, its packages excepted.

        Raises:
            Busy: another backup is being made.
            OSError: a file cannot be read.
        """
        with ExitStack() as closing:
            self._enter()
            closing.callback(self._leave)
            site = self._site
            with site.hold():
                catalog, segments = self._moment(closing)
                reach("backup.moment_taken")
            created_ns = site.clock.now_ns()
            members = [
                _snapshot(catalog, created_ns),
                *(_segment(segment, created_ns) for segment in segments),
                *(_parquet(site.root, file, created_ns) for file in _parquet_files(catalog)),
                *_below(site.root / _FETCHED, f"{NODE}/{_FETCHED}", ()),
            ]
            if with_plugins:
                members += _below(site.plugin_dir, PLUGINS, (site.environment_dir, site.root))
            files = tuple(BackedUp(m.path, m.size_bytes, m.crc32c or 0) for m in members)
            end = segments[-1].end
            manifest = Manifest(catalog.uuid, site.node_id, created_ns, end, files)
            stream = BackupStream(manifest, members, closing.pop_all())
        log.info("backup begun", extra={"files": len(members), "bytes": stream.size_bytes})
        return stream

    def _enter(self) -> None:
        with self._lock:
            if self._is_busy:
                raise Busy("another backup is being made; try again when it has ended")
            self._is_busy = True

    def _leave(self) -> None:
        with self._lock:
            self._is_busy = False

    def _moment(self, closing: ExitStack) -> tuple[Catalog, list[_Segment]]:
        """Return a catalog and segments that fit each other, and hold all their files."""
        while True:
            with ExitStack() as taking:
                ranges = self._site.log.segments()
                catalog = self._site.catalog()
                segments = [self._open(first, end, size, taking) for first, end, size in ranges]
                paths = {file.path for file in _parquet_files(catalog)}
                taking.enter_context(self._site.pin(paths))
                named = {file.path for file in _parquet_files(self._site.catalog())}
                starts = (trigger.start for trigger in catalog.triggers.values())
                if paths <= named and all(start <= segments[-1].end for start in starts):
                    closing.callback(taking.pop_all().close)
                    return catalog, segments

    def _open(self, first: int, end: int, size: int, taking: ExitStack) -> _Segment:
        """Open a segment now: it may be removed before its turn comes."""
        path = self._site.root / _WAL / f"{first:020}.wal"
        return _Segment(path.name, end, size, taking.enter_context(path.open("rb")))


def _segment(segment: _Segment, now_ns: int) -> Member:
    path = f"{NODE}/{_WAL}/{segment.name}"
    return Member(path, segment.size_bytes, _seconds(now_ns), lambda: segment.file)


def _snapshot(catalog: Catalog, now_ns: int) -> Member:
    path = f"{NODE}/{_SNAPSHOTS}/{catalog.number:020}.json"
    return _in_memory(path, encode_snapshot(catalog), now_ns)


def _parquet_files(catalog: Catalog) -> list[ParquetFile]:
    """Return the files of all tables, of deleted ones as well."""
    holders = [*catalog.databases.values(), *(t.object for t in catalog.trash.values())]
    found: list[ParquetFile] = []
    for holder in holders:
        tables = holder.tables.values() if isinstance(holder, Database) else (holder,)
        found.extend(file for table in tables for file in table.files)
    return found


def _parquet(root: Path, file: ParquetFile, now_ns: int) -> Member:
    return Member(
        f"{NODE}/{file.path}",
        file.size_bytes,
        _seconds(now_ns),
        _opener(root / file.path),
        file.crc32c,
    )


def _in_memory(path: str, content: bytes, now_ns: int) -> Member:
    return Member(path, len(content), _seconds(now_ns), lambda: io.BytesIO(content))


def _below(folder: Path, name: str, left_out: Collection[Path]) -> Iterator[Member]:
    """Yield the plain files below a folder: no links, nothing hidden, no caches of Python."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(n for n in folders if _is_kept(n) and here / n not in left_out)
        for file in sorted(filter(_is_kept, files)):
            path = here / file
            try:
                state = path.lstat()
            except FileNotFoundError:  # removed meanwhile
                continue
            if not stat.S_ISREG(state.st_mode):
                continue
            inner = path.relative_to(folder).as_posix()
            yield Member(
                f"{name}/{inner}", state.st_size, _seconds(state.st_mtime_ns), _opener(path)
            )


def _is_kept(name: str) -> bool:
    return not name.startswith(".") and name not in _LEFT_OUT


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _expected(member: Member, checksum: int | None) -> int:
    """Return the checksum that tells whether a file arrived as it should have been.

    That of a Parquet file is known to the catalog. A file that was shorter than it had been gets
    one that cannot be right.
    """
    if member.crc32c is not None:
        return member.crc32c
    return 0 if checksum is None else checksum


def _with_files(manifest: Manifest, files: Collection[BackedUp]) -> Manifest:
    return Manifest(
        manifest.uuid, manifest.node_id, manifest.created_ns, manifest.end, tuple(files)
    )


def _seconds(time_ns: int) -> int:
    return time_ns // 10**9
