"""Imports are tried where a plugin would use them, and what does not work is told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.environments.environment import Environment, open_environment
from engine.environments.probing import ProbeFailed, modules_asked, probe_imports
from engine.environments.runtime import runtime_folder
from engine.environments.walls import Walls
from engine.errors import Stopping
from engine.model.limits import Limits
from engine.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(60)

LIMITS = Limits(memory_bytes=128 << 20, processes=64)
PEEK = """
import os, socket
seen = []
def tried(act):
    try:
        seen.append(str(act()))
    except OSError:
        pass
tried(lambda: os.listdir({outside!r}))
tried(lambda: open({outside!r} + "/left", "w"))
tried(lambda: socket.socket())
tried(lambda: os.fork())
if seen:
    raise ImportError("reached " + ", ".join(seen))
"""


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runtimes")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return open_environment(tmp_path / "environment")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    found = Sandbox("best-effort", "probing")
    found.open()
    yield found
    found.close()


@pytest.fixture
def walls(sandbox: Sandbox, tmp_path: Path) -> Walls:
    return Walls(sandbox, tmp_path / "scratch")


@pytest.fixture
def unconfined(tmp_path: Path) -> Walls:
    return Walls(Sandbox(), tmp_path / "scratch")


def put(environment: Environment, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = environment.site_packages[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.timeout(10)
def test_what_packages_say_of_themselves_is_read_with_care(environment: Environment) -> None:
    about = environment.site_packages[0] / "big-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "RECORD").write_text("one.py,,\ntwo.py,,\n")
    with (about / "top_level.txt").open("wb") as file:
        file.truncate(1 << 40)  # more than this machine has memory
    assert modules_asked(environment, ["big"]) == ("one", "two")

    (about / "top_level.txt").unlink()
    os.mkfifo(about / "top_level.txt")
    assert modules_asked(environment, ["big"]) == ("one", "two")

    (about / "RECORD").unlink()
    (about / "RECORD").symlink_to("/dev/zero")
    assert modules_asked(environment, ["big"]) == ()


def failure(walls: Walls, environment: Environment, runtimes: Path, code: str) -> str:
    put(environment, {"tried.py": code})
    runtime = runtime_folder(runtimes, environment)
    with pytest.raises(ProbeFailed) as failed:
        probe_imports(walls, environment, runtime, ["tried"], LIMITS)
    text, _, _ = str(failed.value).partition("; ask for another version")
    return text.removeprefix("module 'tried' is installed and cannot be imported: ")


def test_what_can_be_imported_passes(
    walls: Walls, environment: Environment, runtimes: Path
) -> None:
    put(environment, {"one.py": "print('noise')", "pkg/__init__.py": "import one"})

    probe_imports(walls, environment, runtime_folder(runtimes, environment), ["one", "pkg"], LIMITS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        (
            "raise ImportError('many words\\n\\nlibx.so: not found')",
            "ImportError: libx.so: not found",
        ),
        ("raise KeyError", "KeyError"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("import os; os._exit(5)", "it ends the process with status 5"),
        ("import ctypes; ctypes.string_at(0)", "it ends the process, probably by SIGSEGV"),
    ],
)
def test_what_cannot_be_imported_is_told_with_its_reason(
    unconfined: Walls, environment: Environment, runtimes: Path, code: str, expected: str
) -> None:
    assert failure(unconfined, environment, runtimes, code) == expected


def test_a_package_is_held_as_a_plugin_without_grants(
    walls: Walls, environment: Environment, runtimes: Path, tmp_path: Path
) -> None:
    if not walls.sandbox.report.level.may_run_plugins:
        pytest.skip("no sandbox here")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    put(environment, {"peek.py": PEEK.format(outside=str(outside))})

    probe_imports(walls, environment, runtime_folder(runtimes, environment), ["peek"], LIMITS)

    assert not (outside / "left").exists()


def test_memory_of_the_trigger_counts(
    walls: Walls, environment: Environment, runtimes: Path
) -> None:
    if walls.sandbox.layers.cgroup is None:
        pytest.skip("no control groups here")

    found = failure(walls, environment, runtimes, "held = bytearray(400 << 20)")

    assert found.startswith("it needs more memory than it may (killed: memory 128 MiB")


def test_only_modules_of_what_was_asked_for_are_tried(environment: Environment) -> None:
    for name in ("Foo.Bar", "other"):
        module = name.replace(".", "_").lower()
        put(environment, {f"{module}-1.0.dist-info/RECORD": f"{module}.py,,\n"})

    assert modules_asked(environment, ["foo-bar", "not-there"]) == ("foo_bar",)


def test_of_several_modules_the_one_named_as_the_package_is_tried(environment: Environment) -> None:
    files = "adbc_duck/__init__.py,,\nDuck_db/__init__.py,,\n"
    put(environment, {"duck_db-2.0.dist-info/RECORD": files})
    put(environment, {"scikit-1.0.dist-info/RECORD": "one.py,,\ntwo.py,,\n"})

    assert modules_asked(environment, ["duck-db"]) == ("Duck_db",)
    assert modules_asked(environment, ["scikit"]) == ("one", "two")


def test_nothing_is_tried_after_a_stop(
    unconfined: Walls, environment: Environment, tmp_path: Path
) -> None:
    unconfined.stop()

    with pytest.raises(Stopping):
        probe_imports(unconfined, environment, tmp_path, ["one"], LIMITS)


def test_where_no_plugin_may_run_nothing_is_tried(environment: Environment, tmp_path: Path) -> None:
    never_opened = Walls(Sandbox("required"), tmp_path / "scratch")

    probe_imports(never_opened, environment, tmp_path, ["one"], LIMITS)

    assert not (tmp_path / "scratch").exists()
