"""Installers do their work behind the walls, and nothing else; whoever plays the server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.environments.enclosed import EnclosedRun
from engine.environments.running import Command
from engine.environments.walls import Walls
from engine.sandbox.launch import SandboxUnavailable
from engine.sandbox.sandbox import Sandbox
from tests.confined import BWRAP, ROOT, USER
from tests.enclosing import READY, UV, Place, Told, why_not
from tests.indexing import indexing, wheel
from tests.serving import eventually

pytestmark = pytest.mark.timeout(60)

NO_BWRAP = "/nonexistent/bwrap"
CONFINED = {
    "root": (None, "required", BWRAP),
    "root-without-bubblewrap": (None, "required", NO_BWRAP),
    "user": (USER, "required", BWRAP),
    "user-without-bubblewrap": (USER, "required", NO_BWRAP),
}
ALL = {**CONFINED, "root-unconfined": (None, "off", ""), "user-unconfined": (USER, "off", "")}
# A child that has left the session of the program, and can be told by its arguments.
ORPHAN = """
import subprocess, sys, time
mark = sys.argv[1]
subprocess.Popen(["setsid", "sh", "-c", f"while true; do sleep 1; done # {mark}"])
subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(100) # {mark}"])
print("ready", flush=True)
time.sleep(100)
"""
ATTACK = """
import json, os, socket, urllib.request
told = {}
def tried(name, act):
    try:
        told[name] = str(act())
    except Exception as error:
        told[name] = type(error).__name__
def fetched(url):
    return urllib.request.urlopen(url, timeout=5).read()
tried("other", lambda: open(FOLDER + "/other/secret").read())
tried("listing", lambda: os.listdir(FOLDER + "/other"))
tried("outside", lambda: open(FOLDER + "/left", "w").close())
tried("shadow", lambda: open("/etc/shadow").read())
tried("signal", lambda: os.kill(SERVER, 0))
tried("variable", lambda: os.environ["SECRET"])
tried("direct", lambda: socket.create_connection(("127.0.0.1", PORT), 5))
tried("proxied", lambda: fetched(f"http://127.0.0.1:{PORT}/"))
tried("own", lambda: open(FOLDER + "/given/mine", "w").close())
"""
HELD = ("other", "listing", "shadow", "signal", "variable", "direct", "proxied")


@contextlib.contextmanager
def placed(user: int | None, mode: str, bwrap: str) -> Iterator[Place]:
    reason = why_not(user, mode, bwrap if bwrap != NO_BWRAP else "")
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="enclosed-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        yield Place(folder, user, mode, bwrap)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=CONFINED)
def confined(request: pytest.FixtureRequest) -> Iterator[Place]:
    with placed(*CONFINED[request.param]) as place:
        yield place


@pytest.fixture(params=ALL)
def anywhere(request: pytest.FixtureRequest) -> Iterator[Place]:
    with placed(*ALL[request.param]) as place:
        yield place


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def done(told: list[Told]) -> Told:
    last = told[-1]
    assert (last.status, last.error) == (0, ""), last
    return last


def marked(mark: str) -> list[int]:
    """Return the processes that have a mark in their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(mark in word for word in process.info["cmdline"] or ())
    ]


def attack(place: Place, listener: socket.socket) -> str:
    names = {"FOLDER": str(place.folder), "SERVER": os.getpid()}
    names["PORT"] = listener.getsockname()[1]
    return "".join(f"{name} = {value!r}\n" for name, value in names.items()) + ATTACK


def test_uv_locks_makes_and_fills_an_environment(anywhere: Place) -> None:
    work = anywhere.work
    (work / "asked.txt").write_text("demo\n")
    lock, tree = work / "lock.txt", work / "tree"
    with indexing() as index:
        index.add(wheel("demo", "1.0", requires=["beside"]), wheel("beside", "2.0"))
        anywhere.variables = index.settings
        told = anywhere.run(
            anywhere.command(
                *(UV, "pip", "compile", "--quiet", "--generate-hashes", "--no-config"),
                *("--only-binary", ":all:", "--python", anywhere.python),
                *("-o", lock, work / "asked.txt"),
                network=True,
            ),
            anywhere.command(
                UV, "venv", "--relocatable", "--no-config", "--python", anywhere.python, tree
            ),
            anywhere.command(
                *(UV, "pip", "sync", "--require-hashes", "--no-config", "--link-mode", "hardlink"),
                *("--python", tree / "bin" / "python", lock),
                network=True,
            ),
        )

    done(told)
    [module] = tree.glob("lib/python3*/site-packages/beside.py")
    assert module.stat().st_nlink == 2
    assert module.stat().st_mode & 0o044 == 0o044
    assert any("demo==1.0" in line for line in told[-1].lines)
    assert list((anywhere.folder / "scratch").iterdir()) == []


def test_an_installer_sees_and_reaches_only_what_it_was_given(
    confined: Place, listener: socket.socket
) -> None:
    code = attack(confined, listener) + "print(json.dumps(told))"

    told = confined.run(confined.command(confined.python, "-c", code, network=True))

    found = json.loads(done(told).output)
    assert found["own"] == "None"
    assert {name: found[name] for name in HELD if not found[name].endswith("Error")} == {}
    assert not (confined.folder / "left").exists()  # it may have had a place of that name


def test_without_walls_the_attacks_succeed(listener: socket.socket) -> None:
    with placed(None, "off", "") as place:
        code = attack(place, listener) + "print(json.dumps(told))"

        told = place.run(place.command(place.python, "-c", code))

        found = json.loads(done(told).output)
        assert found["other"] == "of another environment"
        assert (place.folder / "left").exists()
        assert found["direct"].startswith("<socket")


def sdist(name: str, code: str) -> bytes:
    """Return a source package whose own build runs code, and packs what it left in `told`."""
    packed = wheel(name, "1.0", {f"{name}.py": "TOLD"})[1]
    backend = f"""
import io, json, zipfile
{code}
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(folder, config_settings=None, metadata_directory=None):
    kept = zipfile.ZipFile(io.BytesIO({packed!r}))
    with zipfile.ZipFile(f"{{folder}}/{name}-1.0-py3-none-any.whl", "w") as made:
        for entry in kept.namelist():
            content = kept.read(entry)
            if entry == "{name}.py":
                content = b"TOLD = " + repr(told).encode()
            if not entry.endswith("RECORD"):
                made.writestr(entry, content)
            else:
                made.writestr(entry, "{name}.py,,")
    return "{name}-1.0-py3-none-any.whl"
"""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": f'{project}[project]\nname = "{name}"\nversion = "1.0"\n',
        "backend.py": backend,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return output.getvalue()


def test_code_of_a_source_package_is_held_while_it_is_built(
    confined: Place, listener: socket.socket
) -> None:
    wheels = confined.work / "wheels"
    wheels.mkdir()
    (wheels / "builds-1.0.tar.gz").write_bytes(sdist("builds", attack(confined, listener)))

    told = confined.run(
        confined.command(
            *(UV, "pip", "install", "--no-config", "--no-index", "--find-links", wheels),
            *("--target", confined.work / "made", "--python", confined.python, "builds"),
            network=True,
        )
    )

    done(told)
    names: dict[str, dict[str, str]] = {}
    exec((confined.work / "made" / "builds.py").read_text(), names)  # noqa: S102  a literal
    found = names["TOLD"]
    assert found["own"] == "None"
    assert {name: found[name] for name in HELD if not found[name].endswith("Error")} == {}
    assert not (confined.folder / "left").exists()  # it may have had a place of that name


def test_what_takes_too_long_is_ended_with_all_that_it_started(anywhere: Place) -> None:
    mark = uuid.uuid4().hex
    command = anywhere.command(anywhere.python, "-c", ORPHAN, mark, timeout_s=1.5)

    [told] = anywhere.run(command)

    assert told.error == "InstallFailed"
    assert told.text == "the installer took longer than 1.5 s; the last it said: ready"
    eventually(lambda: marked(mark) == [])


def test_a_stop_ends_it_with_all_that_it_started(anywhere: Place) -> None:
    mark = uuid.uuid4().hex

    [told] = anywhere.run(anywhere.command(anywhere.python, "-c", ORPHAN, mark), stops=True)

    assert told.error == "Stopping"
    eventually(lambda: marked(mark) == [])


def test_the_death_of_the_server_ends_it_with_all_that_it_started(anywhere: Place) -> None:
    mark = uuid.uuid4().hex
    server = anywhere.start(anywhere.command(anywhere.python, "-c", ORPHAN, mark))
    with server:
        assert server.stdout is not None
        assert server.stdout.readline().strip() == READY.encode()
        assert marked(mark)

        server.send_signal(signal.SIGKILL)

    eventually(lambda: marked(mark) == [])


def test_what_a_killed_server_left_is_removed_by_the_next() -> None:
    with placed(*CONFINED["root"]) as place:
        left = place.folder / "scratch" / "0123" / "own"
        left.mkdir(parents=True)
        (left / "file").write_text("of long ago")

        done(place.run(place.command("/bin/true")))

        assert list((place.folder / "scratch").iterdir()) == []


def test_what_the_kernel_killed_for_memory_is_told_as_such() -> None:
    with placed(*CONFINED["root"]) as place:
        code = "held = bytearray(400 << 20); print('too much')"

        [told] = place.run(place.command(place.python, "-c", code), memory_mib=128)

    if not told.error:
        pytest.skip("no control groups here")
    assert told.error == "InstallFailed"
    assert told.text.startswith("the installer needs more memory than it may (killed: memory 128")


@pytest.mark.parametrize("wall", ["root", "root-without-bubblewrap"])
def test_files_are_moved_also_where_landlock_would_forbid_it(wall: str) -> None:
    with placed(*CONFINED[wall]) as place:
        older = place.folder / "older"
        shutil.copytree(ROOT / "worker", older / "worker", ignore=shutil.ignore_patterns("*.pyc"))
        landlock = older / "worker" / "landlock.py"
        text = landlock.read_text()
        landlock.write_text(
            text.replace("    return max(0, int(_libc.", "    return min(1, int(_libc.")
        )
        assert landlock.read_text() != text
        place.path = f"{older}:"
        code = "import os; os.mkdir('a'); os.mkdir('b'); open('a/x', 'w'); os.rename('a/x', 'b/x')"

        told = place.run(place.command(place.python, "-c", code, cwd=str(place.work)))

        done(told)
        assert (place.work / "b" / "x").exists()


def test_folders_may_be_given_by_way_of_links() -> None:
    with placed(*CONFINED["root"]) as place:
        link = place.folder / "link"
        link.symlink_to(place.folder)
        place.work = link / "given"
        code = "import os, sys; print(os.environ['HERE']); open(sys.argv[1], 'w')"
        variables = {"HERE": str(place.work)}

        told = place.run(
            place.command(place.python, "-c", code, link / "given" / "made", variables=variables)
        )

        assert done(told).output == str(place.folder / "given")
        assert (place.folder / "given" / "made").exists()


def test_a_program_that_is_none_is_told() -> None:
    with placed(*CONFINED["root"]) as place:
        missing = place.work / "missing"

        [told] = place.run(place.command(missing))

    assert str(missing) in told.text + told.output
    assert told.status or told.error


def test_code_of_packages_is_not_run_where_no_plugin_may_run(tmp_path: Path) -> None:
    run = EnclosedRun(Walls(Sandbox("required"), tmp_path / "scratch"))
    argv = ("/bin/echo", "run")

    with pytest.raises(SandboxUnavailable):
        run(Command(argv=argv, runs_packages=True))

    assert run(Command(argv=argv)).output == "run"


def test_a_folder_of_somebody_else_is_not_taken_over() -> None:
    with placed(*CONFINED["root"]) as place:
        if os.geteuid() != 0:
            pytest.skip("the tests do not run as root")
        os.chown(place.work, USER, USER)

        [told] = place.run(place.command("/bin/true"))

    assert told.error == "InstallFailed"
    assert f"{place.work} belongs to user {USER}" in told.text
