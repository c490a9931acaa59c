"""Locks and environments behind the walls of a server, where this machine has them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.environments.enclosed import EnclosedRun
from engine.environments.failures import PackagesUnavailable
from engine.environments.walls import Walls
from engine.model.lock import Asked, packages_of
from engine.sandbox.egress import Egress
from engine.sandbox.launch import SandboxUnavailable
from engine.sandbox.sandbox import Sandbox
from tests.engine.environments.conftest import Bench

Furnish = Callable[..., Bench]
SIX = Asked(("six",))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that other users may pass through, as data folders are."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-walls-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def run(folder: Path) -> Iterator[EnclosedRun]:
    egress = Egress(lambda _, text: None)
    sandbox = Sandbox("required", str(folder), egress=egress)
    sandbox.open()
    egress.start()
    run = EnclosedRun(Walls(sandbox, folder / "scratch"))
    try:
        sandbox.check()
        yield run
    except SandboxUnavailable as reason:
        pytest.skip(str(reason))
    finally:
        run.stop()
        egress.stop()
        sandbox.close()


def inodes(root: Path) -> set[int]:
    return {path.stat().st_ino for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("manager", ["uv", "pip"])
def test_packages_are_locked_built_and_compiled(
    bench: Furnish, run: EnclosedRun, folder: Path, manager: str
) -> None:
    made = bench(manager, run=run, cache_dir=folder / "cache")

    lock = made.workshop.lock(SIX, None)
    environment = made.workshop.make(lock, SIX)
    made.workshop.polish(environment)

    assert list(packages_of(lock.text)) == ["six"]
    assert made.tried == [SIX]
    assert made.leftovers == []
    assert list(environment.site_packages[0].glob("__pycache__/six.*.pyc"))
    again = bench(manager, run=run, cache_dir=folder / "cache")
    assert again.shelf.open(lock.id) == environment


def test_environments_of_other_locks_share_files_and_byte_code(
    bench: Furnish, run: EnclosedRun, folder: Path
) -> None:
    made = bench(run=run, cache_dir=folder / "cache")
    one, both = Asked(("six",)), Asked(("iniconfig", "six"))
    first = made.workshop.make(made.workshop.lock(one, None), one)
    made.workshop.polish(first)

    second = made.workshop.make(made.workshop.lock(both, None), both)

    name = f"lib/{first.site_packages[0].parent.name}/site-packages/six.py"
    assert (first.root / name).samefile(second.root / name)
    assert list(second.site_packages[0].glob("__pycache__/six.*.pyc"))
    assert inodes(first.root) & inodes(folder / "cache")


def test_one_that_gives_way_is_built_again_and_compiled_again(
    bench: Furnish, run: EnclosedRun, folder: Path
) -> None:
    made = bench(run=run, cache_dir=folder / "cache")
    lock = made.workshop.lock(SIX, None)
    before = made.workshop.make(lock, SIX)
    made.workshop.polish(before)

    after = made.workshop.make(lock, SIX, anew=True)
    made.workshop.polish(after)

    assert after == before
    assert made.shelf.open(lock.id) == after
    owners = {path.lstat().st_uid for path in after.site_packages[0].rglob("*")}
    assert (owners == {os.geteuid()}) is (os.geteuid() != 0)


def test_what_cannot_be_had_is_told_as_without_walls(
    bench: Furnish, run: EnclosedRun, folder: Path
) -> None:
    made = bench(run=run, cache_dir=folder / "cache")

    with pytest.raises(PackagesUnavailable, match="no-such-package-by-this-name-a8f3"):
        made.workshop.lock(Asked(("no-such-package-by-this-name-a8f3",)), None)

    assert made.leftovers == []
