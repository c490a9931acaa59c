"""Installing into a real environment, and what keeps it from working."""

from __future__ import annotations

import logging
import socket
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.environments.backend import Supply
from engine.environments.enclosed import EnclosedRun
from engine.environments.environment import Environment, open_environment
from engine.environments.failures import InstallFailed, PackagesUnavailable
from engine.environments.installation import Wanted
from engine.environments.installer import InstallDisabled, Installer
from engine.environments.requirements import PackageRefused
from engine.errors import Busy, Stopping
from tests.serving import eventually


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return open_environment(tmp_path_factory.mktemp("env") / ".venv")


class Trial:
    """An installer, and what it told about the environment, in order."""

    def __init__(
        self, environment: Environment, package_manager: str = "discover", timeout_s: float = 30.0
    ) -> None:
        self.told: list[str] = []
        self.environment = environment
        place = Path(tempfile.mkdtemp(dir=environment.root.parent))
        self.run = EnclosedRun.unconfined(place / "runs")
        self.installer = Installer(
            lambda: environment,
            package_manager,
            self.run,
            Supply(place / "cache", timeout_s=timeout_s),
            note_change=lambda: self.told.append("changed"),
            on_changed=lambda: self.told.append("renew"),
        )

    def install(self, *packages: str) -> None:
        self.installer.submit(Wanted(packages)).result(30)

    def install_listed(self, requirements: Path) -> None:
        self.installer.submit(Wanted(requirements=str(requirements))).result(30)

    def stop(self) -> list[str]:
        self.run.stop()
        self.installer.stop()
        return self.told

    def can_import(self, module: str) -> bool:
        command = [str(self.environment.python), "-c", f"import {module}"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def trial(environment: Environment) -> Iterator[Trial]:
    trial = Trial(environment)
    yield trial
    trial.stop()


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[[str, str], str]:
    """Make wheels that need no index; return their paths."""

    def make(name: str, version: str) -> str:
        path = tmp_path / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
            file.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")
        return str(path)

    return make


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Stand in for an index that takes calls and never answers; the event tells of a call."""
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connections = []

        def take() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return
                called.set()

        thread = threading.Thread(target=take)
        thread.start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield called
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in connections:
            connection.close()


def test_a_change_is_told_before_the_answer_and_only_when_there_was_one(
    trial: Trial, wheel: Callable[[str, str], str]
) -> None:
    package = wheel("bulkhead_one", "1.0")

    trial.install(package)
    assert trial.told[0] == "changed"
    trial.install(package)  # there already

    assert trial.stop() == ["changed", "renew"]
    assert trial.can_import("bulkhead_one")


def test_a_package_of_the_index_is_installed(trial: Trial) -> None:
    trial.install("six")

    assert trial.can_import("six")


def test_a_file_of_requirements_is_installed(
    trial: Trial, wheel: Callable[[str, str], str], tmp_path: Path
) -> None:
    wheel("bulkhead_two", "2.0")
    listed = tmp_path / "listed.txt"
    listed.write_text(f"--find-links {tmp_path}\n--no-index\nbulkhead_two==2.0  # pinned\n")

    trial.install_listed(listed)

    assert trial.can_import("bulkhead_two")


def test_files_do_not_share_their_bytes_with_the_cache(trial: Trial) -> None:
    trial.install("iniconfig")

    files = list(trial.environment.site_packages[0].glob("iniconfig/*.py"))
    assert files
    assert all(file.stat().st_nlink == 1 for file in files)


def test_one_missing_package_keeps_the_others_out(
    trial: Trial, wheel: Callable[[str, str], str]
) -> None:
    with pytest.raises(PackagesUnavailable, match="no-such-package-by-this-name-a8f3"):
        trial.install(wheel("bulkhead_three", "3.0"), "no-such-package-by-this-name-a8f3")

    assert trial.stop() == []
    assert not trial.can_import("bulkhead_three")


def test_a_conflict_is_told_with_both_sides(trial: Trial) -> None:
    with pytest.raises(PackagesUnavailable) as refused:
        trial.install("iniconfig==2.0.0", "iniconfig==1.1.1")

    assert "iniconfig==2.0.0 and iniconfig==1.1.1" in str(refused.value)


def test_no_code_of_a_package_runs(trial: Trial, tmp_path: Path) -> None:
    source, listed, mark = tmp_path / "source", tmp_path / "listed.txt", tmp_path / "ran"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(mark)!r}, 'w')\nimport setuptools\n")
    listed.write_text(f"-e {source}\n")

    with pytest.raises(PackagesUnavailable, match="disabled"):
        trial.install(str(source))
    with pytest.raises(PackageRefused, match="-e is not allowed"):
        trial.install_listed(listed)

    assert not mark.exists()


@pytest.mark.parametrize("name", ["missing.txt", ".", "image.txt", "large.txt"])
def test_what_is_no_list_of_requirements_is_refused(
    trial: Trial, tmp_path: Path, name: str
) -> None:
    (tmp_path / "image.txt").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "large.txt").write_bytes(b"#" * (1024 * 1024 + 1))

    with pytest.raises(PackageRefused):
        trial.install_listed(tmp_path / name)


def test_passwords_stay_out_of_answers_and_logs(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    with pytest.raises(InstallFailed) as failed:
        trial.install("x @ http://user:secret@127.0.0.1:9/x-1.0-py3-none-any.whl")

    assert "cannot be reached at 127.0.0.1:9" in str(failed.value)
    assert "secret" not in str(failed.value)
    told = [str(vars(record)) for record in caplog.records]
    assert any("***@127.0.0.1:9/x" in text for text in told)
    assert "secret" not in "".join(told)


def test_what_cannot_be_parsed_is_the_callers_fault(trial: Trial) -> None:
    with pytest.raises(PackagesUnavailable, match="foo bar"):
        trial.install("foo bar")


def test_an_activated_environment_is_left_alone(
    trial: Trial,
    wheel: Callable[[str, str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = open_environment(tmp_path / "other")
    monkeypatch.setenv("VIRTUAL_ENV", str(other.root))
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(other.root))

    trial.install(wheel("bulkhead_four", "4.0"))

    assert trial.can_import("bulkhead_four")
    assert not list(other.site_packages[0].glob("bulkhead_four*"))


def test_a_server_may_install_nothing(environment: Environment) -> None:
    trial = Trial(environment, "disabled")

    with pytest.raises(InstallDisabled, match="Contact your administrator"):
        trial.install("six")

    trial.stop()


def test_pip_is_only_used_where_it_is(environment: Environment) -> None:
    trial = Trial(environment, "pip")

    with pytest.raises(InstallFailed, match="has no pip; start the server with --package-manager"):
        trial.install("six")

    trial.stop()


def test_pip_installs_where_it_is_there(
    tmp_path: Path, wheel: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_uv = Trial(open_environment(tmp_path / "env"))
    by_uv.install("pip")
    by_uv.stop()
    trial = Trial(by_uv.environment, "pip", timeout_s=30)

    trial.install(wheel("bulkhead_five", "5.0"))

    assert trial.can_import("bulkhead_five")
    assert trial.stop() == ["changed", "renew"]


def test_an_index_that_does_not_answer_ends_with_the_time_limit(
    environment: Environment, hanging: threading.Event
) -> None:
    trial = Trial(environment, timeout_s=0.5)

    with pytest.raises(InstallFailed, match=r"longer than 0\.5 s"):
        trial.install("six-by-another-name")

    assert trial.stop() == []


def test_a_stop_ends_what_runs_and_refuses_what_waits_or_comes(
    trial: Trial, hanging: threading.Event
) -> None:
    running = trial.installer.submit(Wanted(("six-by-another-name",)))
    waiting = trial.installer.submit(Wanted(("six-by-a-third-name",)))
    assert hanging.wait(10)

    trial.stop()

    for answer in (running, waiting):
        with pytest.raises(Stopping):
            answer.result(5)
    with pytest.raises(Stopping):
        trial.installer.submit(Wanted(("six",)))


def test_only_so_many_wait(trial: Trial, hanging: threading.Event) -> None:
    first = [trial.installer.submit(Wanted((f"name-{number}",))) for number in range(8)]

    with pytest.raises(Busy):
        trial.installer.submit(Wanted(("one-too-many",)))

    trial.stop()
    eventually(lambda: all(answer.done() for answer in first))
