"""Packages in an environment that is changed in place, and files that are merely named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.environments.backend import Supply
from engine.environments.enclosed import EnclosedRun
from engine.environments.environment import Environment, open_environment
from engine.environments.failures import InstallFailed
from engine.environments.installation import Wanted
from engine.environments.installer import Installer
from engine.environments.intake import keep_python
from engine.environments.requirements import PackageRefused
from tests.indexing import wheel, wheel_folder

Install = Callable[[Wanted], None]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return open_environment(tmp_path / ".venv")


@pytest.fixture
def install(environment: Environment, tmp_path: Path) -> Iterator[Install]:
    run = EnclosedRun.unconfined(tmp_path / "runs")
    supply = Supply(tmp_path / "cache", wheel_folder(tmp_path / "wheels", wheel("one", "1.0")))
    installer = Installer(
        lambda: environment,
        "uv",
        run,
        supply,
        note_change=lambda: None,
        on_changed=lambda: None,
    )
    yield lambda wanted: installer.submit(wanted).result(30)
    run.stop()
    installer.stop()


def test_packages_that_replace_their_python_have_the_server_start_nothing(
    environment: Environment, install: Install
) -> None:
    link = str(environment.python)
    trap = environment.site_packages[0] / "trap.pth"
    trap.write_text(f"import os; os.unlink({link!r}); os.symlink('/bin/false', {link!r})\n")

    with pytest.raises(InstallFailed, match=r"have replaced the Python of .*; it was put back"):
        install(Wanted(("one",)))

    assert environment.python.resolve() == environment.interpreter
    assert open_environment(environment.root) == environment


def test_programs_that_were_led_elsewhere_are_gone(
    environment: Environment, tmp_path: Path
) -> None:
    elsewhere = (environment.root / "bin").rename(tmp_path / "bin")
    (environment.root / "bin").symlink_to(elsewhere)

    with pytest.raises(InstallFailed):
        keep_python(environment.root, environment.interpreter)

    assert not environment.python.exists()
    assert (elsewhere / "python").exists()


def test_no_cache_of_others_is_written(install: Install, tmp_path: Path) -> None:
    install(Wanted(("one",)))

    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("line", ["root:$6$secret:20228:0::", "user secret", "a = 'secret'"])
def test_a_file_that_lists_no_packages_is_not_shown(
    install: Install, tmp_path: Path, line: str
) -> None:
    listed = tmp_path / "shadow"
    listed.write_text(f"six\n{line}\n")

    with pytest.raises(PackageRefused, match=r"^line 2 of the requirements is none$"):
        install(Wanted(requirements=str(listed)))
