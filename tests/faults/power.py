"""What a power cut leaves: the names and the contents that were synced, and nothing else.

The watch keeps what each file held when it was last synced, and which names each folder had when
*it* was. `cut` builds the data folder anew from that, beside the old one, and lets no sync end
afterwards, so that nothing can be acknowledged that is not in it. A file that was written and
never synced is empty; a name whose folder was not synced is gone; a name that was removed without
a sync is there again. Symbolic links are left out: those in the folders of plugins are made anew
at each start of a worker.

Threads: any may sync; the lock is held while one does.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from stat import S_ISDIR

Names = dict[str, tuple[int, bool]]  # inode, and whether it is a folder


def after_cut(root: Path) -> Path:
    """Return where a cut leaves the folder."""
    return root.with_name(f"{root.name}.after-cut")


class Power:
    """The watch over one data folder; what is there when it begins is taken to be durable."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._contents: dict[int, bytes] = {}
        self._folders: dict[Path, Names] = {}
        # A second name keeps an inode's number from being given to another file.
        self._kept = root.with_name(f"{root.name}.kept")
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir(parents=True)
        self._sync, self._datasync = os.fsync, os.fdatasync

    def watch(self) -> None:
        """Take note of every sync from now on."""
        for folder, _, files in os.walk(self._root):
            self._note_folder(Path(folder))
            for path in (Path(folder) / name for name in files):
                if not path.is_symlink():
                    self._note_file(path)
        os.fsync = self._fsync
        os.fdatasync = self._fdatasync

    def cut(self) -> None:
        """Build the folder as it would be found; every sync waits for ever from now on."""
        self._lock.acquire()
        target = after_cut(self._root)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        self._build(self._root, target)

    def _fsync(self, descriptor: int) -> None:
        with self._lock:
            self._sync(descriptor)
            self._note(descriptor)

    def _fdatasync(self, descriptor: int) -> None:
        with self._lock:
            self._datasync(descriptor)
            self._note(descriptor)

    def _note(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path != self._root and self._root not in path.parents:
            return
        if S_ISDIR(os.fstat(descriptor).st_mode):
            self._note_folder(path)
        elif path.exists():
            self._note_file(path)

    def _note_folder(self, path: Path) -> None:
        names: Names = {}
        for entry in os.scandir(path):
            if not entry.is_symlink():
                names[entry.name] = (entry.inode(), entry.is_dir(follow_symlinks=False))
        self._folders[path] = names

    def _note_file(self, path: Path) -> None:
        inode = path.stat().st_ino
        self._contents[inode] = path.read_bytes()
        kept = self._kept / str(inode)
        if not kept.exists():
            kept.hardlink_to(path)

    def _build(self, folder: Path, target: Path) -> None:
        for name, (inode, is_folder) in self._folders.get(folder, {}).items():
            if is_folder:
                (target / name).mkdir()
                self._build(folder / name, target / name)
            else:
                (target / name).write_bytes(self._contents.get(inode, b""))
