"""Locks and environments behind the walls of a server, where this machine has them."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.environments.backend import Supply
from engine.environments.enclosed import EnclosedRun
from engine.environments.environment import open_environment
from engine.environments.failures import InstallFailed, PackagesUnavailable
from engine.environments.installation import Wanted
from engine.environments.installer import Installer
from engine.environments.walls import Walls
from engine.model.lock import Asked, packages_of
from engine.sandbox.egress import Egress
from engine.sandbox.launch import SandboxUnavailable
from engine.sandbox.sandbox import Sandbox
from tests.engine.environments.conftest import Bench
from tests.indexing import wheel, wheel_folder

Furnish = Callable[..., Bench]
# A Python runs it at its start, wherever site-packages are on its path.
AT_START = """\
for place in {places!r}:
    try:
        open(place + "/poison", "w").close()
    except OSError:
        pass
"""
# Leads the Python of the environment that is filled to a program of the package's own.
BACKEND = """\
import os, zipfile
def _attack():
    for folder in os.getcwd().split("/cache/")[:1]:
        for name in ("built", "tree"):
            if os.path.isdir(folder + "/" + name):
                with open(folder + "/evil", "w") as file:
                    file.write("#!/bin/sh\\nid -u >> {mark}\\n")
                os.chmod(folder + "/evil", 0o755)
                os.unlink(folder + "/" + name + "/bin/python")
                os.symlink(folder + "/evil", folder + "/" + name + "/bin/python")
def build_wheel(folder, settings=None, metadata=None):
    _attack()
    info = "evil-1.0.dist-info"
    with zipfile.ZipFile(folder + "/evil-1.0-py3-none-any.whl", "w") as made:
        made.writestr("evil.py", "")
        made.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0\\n")
        made.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        made.writestr(info + "/RECORD", "evil.py,,\\n")
    return "evil-1.0-py3-none-any.whl"
"""
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


def source_package(folder: Path, mark: Path) -> Path:
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": project + '[project]\nname = "evil"\nversion = "1.0"\n',
        "backend.py": BACKEND.format(mark=mark),
        "PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    }
    folder.mkdir()
    with tarfile.open(folder / "evil-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"evil-1.0/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return folder


def test_a_build_that_leads_python_elsewhere_runs_nothing_outside(
    bench: Furnish, run: EnclosedRun, folder: Path
) -> None:
    mark = folder / "ran"
    wheels = source_package(folder / "wheels", mark)
    made = bench(run=run, cache_dir=folder / "cache", wheel_dir=wheels, build_from_source=True)
    evil = Asked(("evil",))
    lock = made.workshop.lock(evil, None)

    with pytest.raises(InstallFailed, match="the Python of what was built is"):
        made.workshop.make(lock, evil)

    assert not mark.exists()
    assert made.tried == []
    assert made.leftovers == []


@pytest.mark.parametrize("manager", ["uv", "pip"])
def test_code_that_runs_while_packages_are_checked_can_write_nowhere(
    bench: Furnish, run: EnclosedRun, folder: Path, manager: str
) -> None:
    cache = folder / "cache"
    code = AT_START.format(places=[str(cache), str(cache / manager), str(folder)])
    lines = {"evil.pth": f"import os; exec({code!r})\n", "evil.py": ""}
    wheels = wheel_folder(folder / "wheels", wheel("evil", "1.0", lines))
    made = bench(manager, run=run, cache_dir=cache, wheel_dir=wheels)
    evil = Asked(("evil",))

    environment = made.workshop.make(made.workshop.lock(evil, None), evil)

    assert list(environment.site_packages[0].glob("evil.pth"))
    [check] = [command for command in made.commands if "check" in command.argv]
    assert check.only_looks
    assert check.writes == ()
    assert list(folder.rglob("poison")) == []


def test_an_environment_of_the_users_own_is_changed_with_nothing_else_to_write_to(
    run: EnclosedRun, folder: Path
) -> None:
    environment = open_environment(folder / "own")
    (environment.site_packages[0] / "evil.pth").write_text(
        f"import os; exec({AT_START.format(places=[str(folder), str(folder / 'cache')])!r})\n"
    )
    (folder / "cache").mkdir()
    wheels = wheel_folder(folder / "wheels", wheel("one", "1.0"))
    installer = Installer(
        lambda: environment,
        "uv",
        run,
        Supply(folder / "cache", wheels),
        note_change=lambda: None,
        on_changed=lambda: None,
    )

    installer.submit(Wanted(("one",))).result(60)

    installer.stop()
    assert (environment.site_packages[0] / "one.py").exists()
    assert list(folder.rglob("poison")) == []
