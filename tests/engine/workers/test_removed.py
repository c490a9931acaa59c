"""Files without a name are counted as long as somebody holds them."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from engine.workers.removed import removed_bytes

MIB = 1 << 20


def taken(folder: Path) -> int:
    return removed_bytes([os.getpid()], folder.stat().st_dev)


def test_open_file_that_was_removed_is_counted_until_it_is_closed(tmp_path: Path) -> None:
    before = taken(tmp_path)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"x" * MIB)
        with_name = taken(tmp_path)
        (tmp_path / "file").unlink()
        without = taken(tmp_path)

    assert with_name == before
    assert MIB <= without - before < MIB + 65536
    assert taken(tmp_path) == before


def test_file_that_is_open_twice_counts_once(tmp_path: Path) -> None:
    before = taken(tmp_path)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"x" * MIB)
        (tmp_path / "file").unlink()
        again = os.dup(file.fileno())
        both = taken(tmp_path)
        os.close(again)

    assert both - before < MIB + 65536


def test_removed_file_that_is_only_mapped_is_counted(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    before = taken(tmp_path)
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.truncate(MIB)
        # Not by `mmap.mmap`, which keeps the file open.
        address = libc.mmap(None, MIB, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        (tmp_path / "file").unlink()
    after = taken(tmp_path)
    libc.munmap(ctypes.c_void_p(address), MIB)

    assert after - before == MIB
    assert taken(tmp_path) == before


def test_other_devices_and_ended_processes_hold_nothing(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"x" * MIB)
        (tmp_path / "file").unlink()

        assert removed_bytes([os.getpid()], tmp_path.stat().st_dev + 1) == 0
        assert removed_bytes([2**22 + 1], tmp_path.stat().st_dev) == 0
