"""The tools of the fault tests: what they say happened has happened."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from tests.faults import refusing
from tests.faults.places import ROOT, collected
from tests.faults.power import Power, after_cut


@pytest.fixture(autouse=True)
def _own_os(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test change its own `os`."""
    for name in ("fsync", "fdatasync", "write"):
        monkeypatch.setattr(os, name, getattr(os, name))


def test_page_tells_what_has_happened_at_each_place() -> None:
    page = ROOT / "docs" / "explanation" / "durability.md"
    named = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", page.read_text(), re.MULTILINE)

    assert sorted(named) == sorted(collected())


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def test_power_cut_leaves_what_was_synced_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "old").write_text("old")
    power = Power(root)
    power.watch()

    (root / "synced").write_text("one")
    sync(root / "synced")
    sync(root)
    with (root / "synced").open("a") as file:
        file.write(" two")
    (root / "nameless").write_text("x")
    sync(root / "nameless")
    (root / "old").unlink()
    power.cut()

    left = after_cut(root)
    assert {path.name: path.read_text() for path in left.iterdir()} == {
        "old": "old",
        "synced": "one",
    }


def test_calls_are_refused_by_number_and_path(tmp_path: Path) -> None:
    refusing.refuse("write", "/b", range(2, 3), "ENOSPC")
    descriptors = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in "ab"]

    outcomes = []
    for descriptor in descriptors * 3:
        try:
            outcomes.append(os.write(descriptor, b"x"))
        except OSError as error:
            outcomes.append(error.errno)
    for descriptor in descriptors:
        os.close(descriptor)

    assert outcomes == [1, 1, 1, errno.ENOSPC, 1, 1]
