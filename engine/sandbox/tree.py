"""Folders that somebody hostile fills: looked through, given away and removed without a trap.

Every step goes from an open folder to a name in it and never follows a link, so that nothing
outside is touched whatever stands in there. Files are not opened: a pipe would block. Depth costs
nothing that is scarce: a walk looks into `MAX_DEPTH` folders at most, and removal first moves what
lies deeper up to the top. A folder that its owner has closed is opened up again.
Any thread may call, one at a time for one folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MAX_DEPTH", "Size", "entries", "give", "open_folder", "opened", "remove", "size"]

MAX_DEPTH = 32
_MAX_REMOVED = 50_000_000
_BLOCK_BYTES = 512
_AT = os.O_CLOEXEC | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class Size:
    """What a folder holds.

    Args:
        disk_bytes: taken on disk by what was counted.
        entries: how many files and folders were counted.
        is_complete: whether that was all; else there is more, too much or too deep to count.
    """

    disk_bytes: int
    entries: int
    is_complete: bool


def open_folder(name: str, above: int | None = None) -> int:
    """Open a folder, and have it open for its owner.

    Args:
        name: in the folder `above`, or a path.
        above: descriptor of a folder.

    Raises:
        NotADirectoryError: it is a link or a file.
        OSError: it is missing or cannot be opened.
    """
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | _AT, dir_fd=above)
    try:
        # The descriptor stands for the folder itself, whatever its name means by now.
        itself = f"/proc/self/fd/{place}"
        mode = os.fstat(place).st_mode
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(itself, stat.S_IMODE(mode) | stat.S_IRWXU)  # noqa: PTH101
        return os.open(itself, os.O_RDONLY | _AT)
    finally:
        os.close(place)


@contextlib.contextmanager
def opened(name: str, above: int | None = None) -> Iterator[int]:
    """Open a folder for the time of a block, as `open_folder`."""
    folder = open_folder(name, above)
    try:
        yield folder
    finally:
        os.close(folder)


def entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """Go through the names in an open folder; those that vanish meanwhile are left out."""
    with os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def size(path: str, max_entries: int = 200_000) -> Size:
    """Count what a folder holds, to a limit.

    Raises:
        OSError: the folder itself cannot be opened.
    """
    disk_bytes = count = 0
    is_complete = True
    with opened(path) as top:
        for status, was_seen in _walk(top):
            disk_bytes += status.st_blocks * _BLOCK_BYTES
            count += 1
            is_complete = is_complete and was_seen
            if count >= max_entries:
                return Size(disk_bytes, count, is_complete=False)
    return Size(disk_bytes, count, is_complete)


def _walk(folder: int, depth: int = 1) -> Iterator[tuple[os.stat_result, bool]]:
    """Yield all below a folder, and of each whether what it holds will be yielded as well."""
    for name, status in entries(folder):
        if not stat.S_ISDIR(status.st_mode):
            yield status, True
            continue
        inner = _try_to_open(name, folder) if depth < MAX_DEPTH else None
        yield status, inner is not None
        if inner is None:
            continue
        try:
            yield from _walk(inner, depth + 1)
        finally:
            os.close(inner)


def _try_to_open(name: str, above: int) -> int | None:
    try:
        return open_folder(name, above)
    except OSError:
        return None


def give(folder: int, uid: int) -> None:
    """Give an open folder to a user, and what its former owner had in it.

    Files with a second name are left: it may stand where the new owner may not write.

    Raises:
        OSError: we may not.
    """
    former = os.fstat(folder).st_uid
    if former != uid:
        _give(folder, former, uid)
    os.fchown(folder, uid, uid)


def _give(folder: int, former: int, uid: int, depth: int = 1) -> None:
    for name, status in entries(folder):
        is_folder = stat.S_ISDIR(status.st_mode)
        if status.st_uid != former or (status.st_nlink > 1 and not is_folder):
            continue
        if is_folder and depth < MAX_DEPTH:
            with opened(name, folder) as inner:
                _give(inner, former, uid, depth + 1)
        os.chown(name, uid, uid, dir_fd=folder, follow_symlinks=False)


def remove(name: str, above: int | None = None) -> None:
    """Remove a folder with all that it holds; nothing when it is missing. A link is unlinked.

    Raises:
        OSError: something cannot be removed, or somebody goes on filling it.
    """
    try:
        with opened(name, above) as top:
            _empty(top)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=above)
        return
    os.rmdir(name, dir_fd=above)


def _empty(top: int) -> None:
    removed = 0
    while True:
        folders, gone = _unlink_files(top)
        for name in folders:
            gone += _flatten(name, top)
        removed += gone
        if not gone:
            return
        if removed > _MAX_REMOVED:
            raise OSError(errno.ENOTEMPTY, "somebody goes on filling a folder that is removed")


def _unlink_files(folder: int) -> tuple[list[str], int]:
    folders: list[str] = []
    gone = 0
    for name, status in entries(folder):
        if stat.S_ISDIR(status.st_mode):
            folders.append(name)
            continue
        os.unlink(name, dir_fd=folder)
        gone += 1
    return folders, gone


def _flatten(name: str, top: int) -> int:
    """Empty a folder in `top`: files go, folders move up into `top`. Return how many."""
    with opened(name, top) as folder:
        inner, gone = _unlink_files(folder)
        for deeper in inner:
            # A folder that is moved must be writable itself.
            os.close(open_folder(deeper, folder))
            os.rename(deeper, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
    try:
        os.rmdir(name, dir_fd=top)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # the listing had missed some: once more
            raise
    return gone + len(inner) + 1
