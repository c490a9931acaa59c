"""Finished environments: kept whole, known when they are not."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.environments.backend import Supply
from engine.environments.environment import BrokenEnvironment
from engine.environments.interpreters import Interpreter, Interpreters
from engine.environments.shelf import MissingEnvironment, Shelf
from engine.model.lock import Lock, lock_of

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
OWN = Interpreters().own
LOCK = lock_of(OWN.python, OWN.platform, f"six==1.0 \\\n    --hash=sha256:{'0' * 64}\n")


class Place:
    """A shelf with one environment, whose Python is a link that can be broken."""

    def __init__(self, folder: Path) -> None:
        self.supply = Supply(folder / "cache")
        self.root = folder / "environments"
        self.python = folder / "python3"
        self.python.symlink_to(OWN.path)
        self.shelf = Shelf(self.root, self.supply)
        self.put()

    def put(self, lock: Lock = LOCK, text: str = "A = 1\n") -> Path:
        with self.shelf.scratch(lock.id) as scratch:
            built = scratch / "tree"
            module = built / "lib" / f"python{VERSION}" / "site-packages" / "six.py"
            module.parent.mkdir(parents=True)
            module.write_text(text)
            (built / "bin").mkdir()
            (built / "bin" / "python").symlink_to(self.python)
            return self.shelf.put(built, lock, OWN).root

    def fresh(self) -> Shelf:
        return Shelf(self.root, self.supply)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_was_put_is_opened_by_this_and_the_next_server(place: Place) -> None:
    first, second = place.shelf.open(LOCK.id), place.fresh().open(LOCK.id)

    assert first == second
    assert first.root == place.shelf.path(LOCK.id)
    assert (first.site_packages[0] / "six.py").read_text() == "A = 1\n"
    assert place.shelf.size_bytes(LOCK.id) == len("A = 1\n")
    noted = json.loads((first.root / "environment.json").read_text())
    assert noted["lock"] == LOCK.id
    assert noted["packages"] == {"six": "1.0"}
    assert sorted(path.name for path in place.root.iterdir()) == [LOCK.id]


def test_others_pass_through_and_list_nothing(place: Place) -> None:
    assert place.root.stat().st_mode & 0o777 == 0o711
    assert place.shelf.path(LOCK.id).stat().st_mode & 0o005 == 0o005


def test_what_is_not_there_is_missing(place: Place) -> None:
    with pytest.raises(MissingEnvironment, match="there is no environment"):
        place.shelf.open("0" * 16)

    assert place.shelf.size_bytes("0" * 16) == 0
    place.shelf.note_used("0" * 16)
    place.shelf.remove("0" * 16)


def module(root: Path) -> Path:
    return root / "lib" / f"python{VERSION}" / "site-packages" / "six.py"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda root: module(root).unlink(), id="a file is gone"),
        pytest.param(lambda root: module(root).write_text(""), id="a file is cut"),
        pytest.param(lambda root: (root / "more.py").touch(), id="a file came"),
        pytest.param(lambda root: (root / "environment.json").unlink(), id="it was not finished"),
        pytest.param(lambda root: (root / "environment.json").write_text("{"), id="unreadable"),
        pytest.param(lambda root: (root / "environment.json").write_text("{}"), id="no words"),
    ],
)
def test_damage_is_seen_and_a_fresh_one_takes_its_place(
    place: Place, damage: Callable[[Path], object]
) -> None:
    damage(place.shelf.path(LOCK.id))

    with pytest.raises(BrokenEnvironment, match="is damaged"):
        place.fresh().open(LOCK.id)

    place.put()
    assert module(place.fresh().open(LOCK.id).root).read_text() == "A = 1\n"


def test_a_python_that_vanished_is_told_at_once(place: Place) -> None:
    place.shelf.open(LOCK.id)
    place.python.unlink()

    for shelf in (place.shelf, place.fresh()):
        with pytest.raises(BrokenEnvironment, match=f"is gone: {OWN.path}"):
            shelf.open(LOCK.id)

    place.python.symlink_to(OWN.path)
    assert place.shelf.open(LOCK.id).root == place.shelf.path(LOCK.id)


def test_a_python_that_became_another_is_told(place: Place) -> None:
    noted = place.shelf.path(LOCK.id) / "environment.json"
    words = json.loads(noted.read_text())
    noted.write_text(json.dumps({**words, "python": "3.5"}))

    with pytest.raises(BrokenEnvironment, match=rf"for Python 3\.5 on .* is {VERSION} on"):
        place.fresh().open(LOCK.id)


def test_a_program_that_stands_in_for_its_python_is_not_run(place: Place, tmp_path: Path) -> None:
    mark, program = tmp_path / "ran", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    place.python.unlink()
    place.python.symlink_to(program)

    with pytest.raises(BrokenEnvironment, match=f"was made for {OWN.path}, and its Python is"):
        place.fresh().open(LOCK.id)

    assert not mark.exists()


def test_byte_code_is_no_damage(place: Place) -> None:
    folder = module(place.shelf.path(LOCK.id)).parent / "__pycache__"
    folder.mkdir()
    (folder / "six.pyc").write_bytes(b"x")

    assert place.fresh().open(LOCK.id).version == OWN.version


def test_who_works_in_one_that_gives_way_keeps_what_is_open(place: Place) -> None:
    with module(place.shelf.path(LOCK.id)).open() as file:
        place.put(text="A = 2\n")

        assert file.read() == "A = 1\n"
    assert module(place.shelf.open(LOCK.id).root).read_text() == "A = 2\n"
    assert sorted(path.name for path in place.root.iterdir()) == [LOCK.id]


def test_what_nobody_used_for_long_is_told_and_can_go(place: Place) -> None:
    other = lock_of(OWN.python, OWN.platform, "")
    place.put(other)
    for lock in (LOCK, other):
        os.utime(place.shelf.path(lock.id) / "environment.json", (1, 1))
    place.shelf.note_used(LOCK.id)

    assert list(place.shelf.unused(3600)) == [other.id]
    seen_early = place.shelf.unused(3600)
    place.shelf.note_used(other.id)
    assert list(seen_early) == []
    place.shelf.remove(other.id)

    assert list(place.shelf.unused(-60)) == [LOCK.id]
    with pytest.raises(MissingEnvironment):
        place.shelf.open(other.id)


def test_a_file_of_a_package_cannot_stand_for_the_inventory(place: Place, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    with place.shelf.scratch("x") as scratch:
        (scratch / "tree" / "bin").mkdir(parents=True)
        (scratch / "tree" / "bin" / "python").symlink_to(OWN.path)
        (scratch / "tree" / "environment.json").symlink_to(tmp_path / "theirs")

        root = place.shelf.put(scratch / "tree", LOCK, OWN).root

    assert (tmp_path / "theirs").read_text() == "kept"
    assert not (root / "environment.json").is_symlink()


def test_what_a_killed_server_left_is_swept(place: Place) -> None:
    left = place.root / ".building-abc-1"
    built = place.supply.building(left)
    for folder in (left / "tree", built / "bin", place.root / ".removing-abc-1" / "old"):
        folder.mkdir(parents=True)
    others = place.supply.cache_dir / "building" / "building-of-another-server"
    others.mkdir()

    place.fresh().sweep()

    assert sorted(path.name for path in place.root.iterdir()) == [LOCK.id]
    assert sorted(built.parent.iterdir()) == [others]


def test_what_a_killed_installer_left_in_the_cache_is_swept_when_it_is_old(place: Place) -> None:
    old, young = (place.supply.packages / name for name in (".tmpOld", ".tmpYoung"))
    for folder in (old, young):
        (folder / "six").mkdir(parents=True)
    os.utime(old, (1, 1))

    place.fresh().sweep()

    assert (old.exists(), young.exists()) == (False, True)


def test_there_is_nothing_to_sweep_or_to_tell_at_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "none", Supply(tmp_path))

    shelf.sweep()

    assert list(shelf.unused(0)) == []
    assert not shelf.root.exists()


def test_a_workplace_that_failed_leaves_nothing(place: Place) -> None:
    def work() -> None:
        with place.shelf.scratch("abc") as scratch:
            place.supply.building(scratch).mkdir(parents=True)
            (scratch / "file").touch()
            raise KeyError

    with pytest.raises(KeyError):
        work()

    assert sorted(path.name for path in place.root.iterdir()) == [LOCK.id]
    assert list((place.supply.cache_dir / "building").iterdir()) == []


def test_one_built_on_another_file_system_is_copied(place: Place, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    place.supply = Supply(memory / f"bulkhead-test-{os.getpid()}")
    place.shelf = place.fresh()
    with place.shelf.scratch("abc") as scratch:
        built = place.supply.building(scratch)
        (built / "bin").mkdir(parents=True)
        (built / "bin" / "python").symlink_to(OWN.path)
        (built / "note").write_text("here")

        root = place.shelf.put(built, LOCK, OWN).root

    assert (root / "note").read_text() == "here"
    assert place.fresh().open(LOCK.id).root == root
    place.supply.building(place.root).parent.rmdir()
    place.supply.cache_dir.rmdir()


def test_an_interpreter_says_what_a_worker_in_it_has_to_see() -> None:
    interpreter = Interpreter(Path("/p/python"), (3, 12, 1), "linux", "cpython-312", (Path("/p"),))

    assert interpreter.reads == (Path("/p/python"), Path("/p"))
    assert interpreter.release == "3.12.1"


def test_what_is_brought_from_another_file_system_leaves_the_old_one_when_there_is_no_room(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def moved(path: Path, target: Path) -> Path:
        if path.name == "tree":
            raise OSError(errno.EXDEV, "another file system")
        return rename(path, target)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Path, "rename", moved)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(OSError, match="no room"):
            place.put(text="A = 2\n")
    kept = (place.fresh().open(LOCK.id).site_packages[0] / "six.py").read_text()
    place.put(text="A = 3\n")

    assert kept == "A = 1\n"
    assert (place.fresh().open(LOCK.id).site_packages[0] / "six.py").read_text() == "A = 3\n"
    assert sorted(path.name for path in place.root.iterdir()) == [LOCK.id]
