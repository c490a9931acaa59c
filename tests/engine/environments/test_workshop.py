"""Locks and environments by the real uv, with packages of the index and some made on the spot."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.environments import runtime
from engine.environments.environment import BrokenEnvironment, Environment
from engine.environments.failures import InstallFailed, PackagesUnavailable
from engine.environments.interpreters import Interpreters, NoInterpreter
from engine.environments.uv import Uv
from engine.errors import Stopping
from engine.model.lock import Asked, lock_of, packages_of
from tests.engine.environments.conftest import Bench
from tests.indexing import indexing, wheel, wheel_folder

Furnish = Callable[..., Bench]
RUNTIME_LOCK = Path(runtime.__file__).with_name("runtime.lock")
NOWHERE = "http://127.0.0.1:9/simple"
HELLO = "def main():\n    print('hello')\n"
SCRIPT = {
    "hello.py": HELLO,
    "hello-1.0.dist-info/entry_points.txt": "[console_scripts]\nhello = hello:main\n",
}


def asked(*requirements: str, python: str = "") -> Asked:
    return Asked(requirements, python, tuple(f"needs.py line {n}" for n in range(1, 9)))


def output_of(environment: Environment, code: str) -> str:
    command = [str(environment.python), "-I", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(params=["uv", pytest.param("pip", marks=pytest.mark.slow)])
def manager(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_packages_of_the_index_are_locked_and_built(bench: Furnish) -> None:
    made = bench()
    wanted = asked("iniconfig", "packaging")

    lock = made.workshop.lock(wanted, None, made.lines.append)
    environment = made.workshop.make(lock, wanted, made.lines.append)

    assert list(packages_of(lock.text)) == ["iniconfig", "packaging"]
    assert "http" not in lock.text
    assert "#" not in lock.text
    assert output_of(environment, "import iniconfig, packaging; print(1)") == "1"
    assert environment == made.shelf.open(lock.id)
    assert made.tried == [wanted]
    assert any("Installed 2 packages" in line for line in made.lines)
    assert not [line for line in made.lines if "Network connectivity" in line or "Using" in line]
    assert made.leftovers == []


def test_what_is_there_is_not_built_again(bench: Furnish) -> None:
    made = bench()
    lock = made.workshop.lock(asked("six"), None)
    first = made.workshop.make(lock, asked("six"))
    made.commands.clear()

    assert made.workshop.make(lock, asked("six")) == first
    assert made.commands == []


def test_a_lock_without_packages_needs_no_index(bench: Furnish) -> None:
    made = bench()
    empty = made.workshop.empty()

    environment = made.workshop.make(empty, asked())

    assert made.workshop.lock(asked(), None) == empty
    assert made.workshop.serves(asked(), empty)
    assert not any(command.network for command in made.commands)
    assert made.shelf.open(empty.id) == environment


@pytest.mark.parametrize(
    ("requirements", "told"),
    [
        (("no-such-package-by-this-name-a8f3",), "no-such-package-by-this-name-a8f3"),
        (("iniconfig==99",), "iniconfig==99"),
        (("iniconfig==1.1.1", "iniconfig==2.0.0"), "iniconfig==2.0.0"),
    ],
)
def test_what_cannot_be_had_is_named_with_its_place(
    bench: Furnish, requirements: tuple[str, ...], told: str
) -> None:
    made = bench()

    with pytest.raises(PackagesUnavailable) as refused:
        made.workshop.lock(asked(*requirements), None)

    assert told in str(refused.value)
    assert f"{requirements[0]} stands in needs.py line 1" in str(refused.value)
    assert str(made.shelf.root) not in str(refused.value)
    assert made.leftovers == []


def test_without_an_index_the_cache_serves_and_its_lack_is_told_within_seconds(
    bench: Furnish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with indexing() as index:
        index.add(wheel("bulkhead-near", "1.0"))
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        made = bench(cache_dir=tmp_path / "cache")
        lock = made.workshop.lock(asked("bulkhead-near"), None)
        made.workshop.make(lock, asked("bulkhead-near"))
    began_s = time.monotonic()

    again = made.workshop.lock(asked("bulkhead-near"), None, made.lines.append)
    made.workshop.make(again, asked("bulkhead-near"), anew=True)
    with pytest.raises(InstallFailed, match=r"cannot be reached at 127\.0\.0\.1:.* far") as failed:
        made.workshop.lock(asked("bulkhead-near", "far"), None)

    assert time.monotonic() - began_s < 15
    assert again == lock
    assert "the package index cannot be reached; looking into the cache" in made.lines
    assert "Not in the package cache: far." in str(failed.value)


def test_patience_with_an_index_is_the_operators_when_it_is_set(
    bench: Furnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", NOWHERE)
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "90")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    made = bench()

    with pytest.raises(InstallFailed, match="cannot be reached"):
        made.workshop.lock(asked("bulkhead-nowhere"), None)

    for command in made.commands:
        assert "UV_HTTP_TIMEOUT" not in command.variables
        assert "UV_HTTP_CONNECT_TIMEOUT" in command.variables


def test_a_file_with_another_hash_is_refused(bench: Furnish) -> None:
    made = bench()
    own = made.workshop.empty()
    lock = lock_of(own.python, own.platform, f"six==1.17.0 \\\n    --hash=sha256:{'0' * 64}\n")

    with pytest.raises(PackagesUnavailable, match=r"(?i)six==1\.17\.0.* Hash mismatch"):
        made.workshop.make(lock, asked("six"))

    assert not made.shelf.path(lock.id).exists()
    assert made.leftovers == []


def test_a_broken_wheel_is_refused(bench: Furnish, tmp_path: Path) -> None:
    name, content = wheel("bulkhead-broken", "1.0")
    folder = wheel_folder(tmp_path / "wheels", (name, content[:-40]))

    with pytest.raises(PackagesUnavailable, match=r"bulkhead-broken==1\.0"):
        bench(wheel_dir=folder).workshop.lock(asked("bulkhead-broken"), None)


def test_a_folder_of_wheels_needs_no_network_and_scripts_run_after_the_move(
    bench: Furnish, tmp_path: Path, manager: str
) -> None:
    made = bench(
        manager, wheel_dir=wheel_folder(tmp_path / "wheels", wheel("hello", "1.0", SCRIPT))
    )

    lock = made.workshop.lock(asked("hello"), None)
    environment = made.workshop.make(lock, asked("hello"))

    printed = subprocess.run([environment.root / "bin" / "hello"], check=True, capture_output=True)
    assert printed.stdout == b"hello\n"
    assert not any(command.network for command in made.commands)
    for path in [environment.root / "pyvenv.cfg", *(environment.root / "bin").iterdir()]:
        assert b"building" not in path.read_bytes() or path.is_symlink()


def test_versions_are_kept_unless_asked_for_fresh_ones(
    bench: Furnish, tmp_path: Path, manager: str
) -> None:
    folder = wheel_folder(tmp_path / "wheels", wheel("one", "1.0"), wheel("two", "1.0"))
    made = bench(manager, wheel_dir=folder)
    before = made.workshop.lock(asked("one"), None)
    wheel_folder(folder, wheel("one", "2.0"), wheel("two", "2.0"))

    more = made.workshop.lock(asked("one", "two"), before)
    fresh = made.workshop.lock(asked("one", "two"), None)
    other = made.workshop.lock(asked("one>1"), before)

    assert packages_of(more.text) == {"one": "1.0", "two": "2.0"}
    assert packages_of(fresh.text) == {"one": "2.0", "two": "2.0"}
    assert packages_of(other.text) == {"one": "2.0"}


def test_packages_that_do_not_fit_each_other_are_refused(
    bench: Furnish, tmp_path: Path, manager: str
) -> None:
    folder = wheel_folder(
        tmp_path / "wheels", wheel("needy", "1.0", requires=["two>1"]), wheel("two", "2.0")
    )
    made = bench(manager, wheel_dir=folder)
    whole = made.workshop.lock(asked("needy"), None)
    half = lock_of(whole.python, whole.platform, whole.text.partition("two==")[0])

    with pytest.raises(PackagesUnavailable, match=r"(?s)needy.*two"):
        made.workshop.make(half, asked("needy"))

    assert not made.shelf.path(half.id).exists()


def test_what_fails_its_trial_is_not_put_into_service(
    bench: Furnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()
    lock = made.workshop.lock(asked("six"), None)
    monkeypatch.setattr(
        made.workshop, "_try", lambda *_: (_ for _ in ()).throw(InstallFailed("no"))
    )

    with pytest.raises(InstallFailed, match="no"):
        made.workshop.make(lock, asked("six"))

    assert not made.shelf.path(lock.id).exists()
    assert made.leftovers == []


def test_a_stop_ends_a_build_and_leaves_nothing(
    bench: Furnish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failures: list[BaseException] = []

    def build() -> None:
        try:
            made.workshop.make(lock, asked("bulkhead-slow"))
        except Stopping as stopping:
            failures.append(stopping)

    with indexing() as index:
        index.add(wheel("bulkhead-slow", "1.0"))
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        made = bench(cache_dir=tmp_path / "cache")
        lock = made.workshop.lock(asked("bulkhead-slow"), None)
        index.stall()
        thread = threading.Thread(target=build)
        thread.start()
        assert index.has_stalled.wait(20)

        made.workshop.stop()
        thread.join(20)

    assert [type(failure) for failure in failures] == [Stopping]
    assert made.leftovers == []
    assert not made.shelf.path(lock.id).exists()


def test_environments_share_files_with_the_cache_or_have_their_own(
    bench: Furnish, tmp_path: Path
) -> None:
    folder = wheel_folder(tmp_path / "wheels", wheel("one", "1.0"))
    for links in (True, False):
        made = bench(wheel_dir=folder, links=links, cache_dir=tmp_path / "cache")
        lock = made.workshop.lock(asked("one"), None)
        environment = made.workshop.make(lock, asked("one"), anew=True)

        assert ((environment.site_packages[0] / "one.py").stat().st_nlink > 1) is links


def source_of(folder: Path, mark: Path) -> Path:
    """Put a source into a folder whose build leaves a mark, and needs nothing else."""
    name, content = wheel("built", "1.0")
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: built\nVersion: 1.0\n",
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "making"\n'
        b'backend-path = ["."]\n',
        "making.py": (
            f"def build_wheel(folder, *_):\n    open({str(mark)!r}, 'w')\n"
            f"    open(f'{{folder}}/{name}', 'wb').write({content!r})\n    return {name!r}\n"
        ).encode(),
    }
    folder.mkdir()
    with tarfile.open(folder / "built-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"built-1.0/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return folder


def test_code_of_a_package_runs_only_where_that_is_allowed(
    bench: Furnish, tmp_path: Path, manager: str
) -> None:
    mark = tmp_path / "ran"
    folder = source_of(tmp_path / "wheels", mark)

    with pytest.raises(PackagesUnavailable, match="built"):
        bench(manager, wheel_dir=folder).workshop.lock(asked("built"), None)
    assert not mark.exists()

    made = bench(manager, wheel_dir=folder, build_from_source=True)
    lock = made.workshop.lock(asked("built"), None)
    environment = made.workshop.make(lock, asked("built"))

    assert output_of(environment, "import built; print(built.__version__)") == "1.0"
    assert mark.exists()
    apart = [c for c in made.commands if "--only-binary" not in c.argv and "install" in c.argv]
    apart += [c for c in made.commands if "--only-binary" not in c.argv and "sync" in c.argv]
    assert apart
    assert all(made.supply.cache_dir not in command.writes for command in apart)


def test_byte_code_comes_later_and_is_no_damage(bench: Furnish, tmp_path: Path) -> None:
    made = bench(cache_dir=tmp_path / "cache")
    lock = made.workshop.lock(asked("iniconfig"), None)
    environment = made.workshop.make(lock, asked("iniconfig"))
    package = environment.site_packages[0] / "iniconfig"
    assert not list(package.glob("__pycache__/*.pyc"))

    made.workshop.polish(environment)

    assert list(package.glob("__pycache__/*.pyc"))
    again = bench(cache_dir=tmp_path / "cache")
    assert again.shelf.open(lock.id) == environment


def test_byte_code_that_cannot_be_had_is_no_loss(bench: Furnish) -> None:
    made = bench()
    environment = made.workshop.make(made.workshop.empty(), asked())

    made.workshop.stop()

    made.workshop.polish(environment)


def other_python(interpreters: Interpreters) -> str:
    own = interpreters.own.python
    others = [one.python for one in interpreters.found() if one.version >= (3, 11)]
    found = next((python for python in others if python != own), None)
    if found is None:
        pytest.skip("there is one Python only")
    return found


def test_another_python_gets_its_own_environment_and_runtime(
    bench: Furnish, interpreters: Interpreters
) -> None:
    made, python = bench(), other_python(interpreters)
    wanted = asked("six", python=f"=={python}.*")

    lock = made.workshop.lock(wanted, None)
    environment = made.workshop.make(lock, wanted)
    folder = made.workshop.runtime(environment)

    assert lock.python == python
    assert not made.workshop.serves(asked("six"), lock)
    assert made.workshop.serves(wanted, lock)
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import zmq, msgpack, worker, six"
    told = output_of(environment, f"{code}; print(*sys.version_info[:2], sep='.')")
    assert told == python
    assert all(path.stat().st_uid == os.geteuid() for path in folder.rglob("*"))


def test_a_runtime_that_cannot_be_had_is_told(
    bench: Furnish, interpreters: Interpreters, tmp_path: Path
) -> None:
    made = bench(wheel_dir=wheel_folder(tmp_path / "wheels", wheel("one", "1.0")))
    wanted = asked("one", python=f"=={other_python(interpreters)}.*")
    lock = made.workshop.lock(wanted, None)

    with pytest.raises(BrokenEnvironment, match=r"workers need msgpack==.* cannot be had.*msgpack"):
        made.workshop.make(lock, wanted)

    assert made.leftovers == []


def test_what_workers_load_unconfined_has_the_hashes_that_the_server_was_shipped_with(
    bench: Furnish, interpreters: Interpreters, tmp_path: Path
) -> None:
    locked = packages_of(RUNTIME_LOCK.read_text())
    theirs = [wheel(name, version) for name, version in locked.items()]
    made = bench(wheel_dir=wheel_folder(tmp_path / "wheels", wheel("one", "1.0"), *theirs))
    wanted = asked("one", python=f"=={other_python(interpreters)}.*")
    lock = made.workshop.lock(wanted, None)

    with pytest.raises(BrokenEnvironment, match=r"Hash mismatch.* one of \d+ "):
        made.workshop.make(lock, wanted)


def test_these_hashes_are_those_of_the_project() -> None:
    project = (Path(__file__).parents[3] / "requirements.lock").read_text()
    blocks = re.findall(r"^\S.*(?:\n .*)*\n", project, re.MULTILINE)
    ours = [block for block in blocks if block.startswith(("msgpack==", "pyzmq=="))]

    assert RUNTIME_LOCK.read_text() == "".join(ours), "refresh it with: just lock"


def test_a_lock_for_a_python_that_is_gone_is_refused(bench: Furnish) -> None:
    made = bench()

    with pytest.raises(NoInterpreter, match=r"==3\.99\.\*"):
        made.workshop.make(lock_of("3.99", "linux-x86_64", ""), asked())
    with pytest.raises(NoInterpreter, match=r">=3\.99"):
        made.workshop.lock(asked("six", python=">=3.99"), None)


def test_a_conflict_of_pip_is_told_in_its_words(bench: Furnish) -> None:
    made = bench("pip")

    with pytest.raises(PackagesUnavailable) as refused:
        made.workshop.lock(asked("iniconfig==1.1.1", "iniconfig==2.0.0"), None)

    assert "iniconfig==1.1.1" in str(refused.value)
    assert "ResolutionImpossible" not in str(refused.value)


def test_pip_without_an_index_fails_within_seconds(
    bench: Furnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    began_s = time.monotonic()

    with pytest.raises(InstallFailed, match=r"cannot be reached at 127\.0\.0\.1:9"):
        bench("pip").workshop.lock(asked("six"), None)

    assert time.monotonic() - began_s < 15


def test_an_answer_that_is_a_link_is_not_followed(
    bench: Furnish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"six==1.0 --hash=sha256:{'0' * 64}\n")

    def leave_a_link(self: Uv, step: object, *, is_near_first: bool) -> None:
        answer = Path(step.argv[step.argv.index("-o") + 1])  # type: ignore[attr-defined]
        answer.unlink()
        answer.symlink_to(secret)

    monkeypatch.setattr(Uv, "_from_wheels", leave_a_link)

    with pytest.raises(InstallFailed, match=r"cannot read lock\.txt"):
        bench().workshop.lock(asked("six"), None)
