"""Take a backup's archive into a folder, and check a folder against its manifest.

The manifest is written last, when everything else is durable: a folder with one was received
whole. Nothing in an archive can lead out of the folder: only plain files with the paths of a
backup are taken, and none is replaced.

One thread at a time may work on a folder.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from crc32c import crc32c

from engine.folders import sync_folder
from engine.upkeep.manifest import MANIFEST, BackedUp, DamagedBackup, Manifest, checked_path

__all__ = ["copy_durably", "read_manifest", "receive", "sync_folders", "verify"]

_PIECE_BYTES = 1024 * 1024
_SHOWN_FILES = 10
_LARGEST_MANIFEST_BYTES = 1024 * 1024 * 1024
Note = Callable[[int], None]


def receive(archive: IO[bytes], folder: Path, note: Note) -> Manifest:
    """Store an archive's files.

    Args:
        archive: read once from its beginning to its end.
        folder: empty.
        note: called with numbers of bytes that were stored.

    Returns:
        The manifest, with which all files agree.

    Raises:
        DamagedBackup: the archive breaks off, or a file is not what the manifest says; what was
            received stays.
        OSError: the folder cannot be written.
    """
    received: list[BackedUp] = []
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None:
                    raise DamagedBackup(f"{member.name!r} is no plain file")
                if member.name == MANIFEST:
                    raw = content.read(_LARGEST_MANIFEST_BYTES)
                    return _finished(folder, raw, received)
                received.append(_stored(folder, member, content, note))
    except (tarfile.TarError, EOFError) as error:
        raise DamagedBackup(f"the backup broke off: {error}") from error
    raise DamagedBackup("the backup broke off: it has no manifest")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises:
        DamagedBackup: there is none, or it is damaged.
    """
    try:
        return Manifest.decode((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise DamagedBackup(
            f"{folder / MANIFEST} cannot be read ({error.strerror}): {folder} is no backup, "
            "or one that broke off"
        ) from error


def verify(folder: Path, manifest: Manifest, note: Note) -> None:
    """Read every file of a backup and compare it with the manifest.

    Raises:
        DamagedBackup: files are missing or wrong; the message names them.
    """
    found = [_seen(folder, file, note) for file in manifest.files]
    _compare(manifest, [file for file in found if file is not None])


def copy_durably(source: Path, target: Path, note: Note) -> int:
    """Copy a file to a place that must be free, and sync it; return its crc32c."""
    with source.open("rb") as content:
        return _write(target, content, note)


def sync_folders(top: Path) -> None:
    """Make the names in a folder and all below it durable."""
    for folder in (*(path for path in top.rglob("*") if path.is_dir()), top):
        sync_folder(folder)


def _stored(folder: Path, member: tarfile.TarInfo, content: IO[bytes], note: Note) -> BackedUp:
    target = folder / checked_path(member.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    return BackedUp(member.name, member.size, _write(target, content, note))


def _write(target: Path, content: IO[bytes], note: Note) -> int:
    checksum = 0
    with target.open("xb") as file:
        while piece := content.read(_PIECE_BYTES):
            checksum = crc32c(piece, checksum)
            file.write(piece)
            note(len(piece))
        file.flush()
        os.fsync(file.fileno())
    return checksum


def _finished(folder: Path, raw: bytes, received: list[BackedUp]) -> Manifest:
    manifest = Manifest.decode(raw)
    _compare(manifest, received)
    sync_folders(folder)
    with (folder / MANIFEST).open("xb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    return manifest


def _seen(folder: Path, file: BackedUp, note: Note) -> BackedUp | None:
    """Return a file as it is; None when it cannot be read."""
    checksum, size = 0, 0
    try:
        with (folder / file.path).open("rb") as content:
            while piece := content.read(_PIECE_BYTES):
                checksum = crc32c(piece, checksum)
                size += len(piece)
                note(len(piece))
    except OSError:
        return None
    return BackedUp(file.path, size, checksum)


def _compare(manifest: Manifest, found: list[BackedUp]) -> None:
    wrong = sorted({file.path for file in {*manifest.files} ^ {*found}})
    if wrong:
        more = len(wrong) - _SHOWN_FILES
        shown = ", ".join(wrong[:_SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")
        raise DamagedBackup(
            f"files of the backup are damaged or missing: {shown}; "
            "make another backup, or use an older one"
        )
