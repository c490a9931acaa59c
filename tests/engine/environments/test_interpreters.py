"""Which Pythons are found and which is chosen."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from engine.environments.interpreters import Interpreter, Interpreters, NoInterpreter

RUNNING = sys.version_info[:3]


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "none"), "HOME": str(tmp_path)}


def test_the_servers_own_is_first_and_chosen_when_it_fits(alone: dict[str, str]) -> None:
    interpreters = Interpreters(variables=alone)

    chosen = interpreters.pick("")

    assert chosen == interpreters.found()[0] == interpreters.own
    assert chosen.version == RUNNING
    assert chosen.path == Path(sys.executable).resolve()
    assert chosen.python == f"{RUNNING[0]}.{RUNNING[1]}"
    assert interpreters.pick(f"=={chosen.python}.*") == chosen
    assert interpreters.for_lock(chosen.python, chosen.platform) == chosen


@pytest.mark.parametrize("place", ["python_dirs", "python_dirs/bin", "python_dirs/one/bin"])
def test_a_folder_of_the_operator_is_looked_into(
    tmp_path: Path, alone: dict[str, str], place: str
) -> None:
    (tmp_path / place).mkdir(parents=True)
    link = tmp_path / place / f"python{RUNNING[0]}.{RUNNING[1]}"
    link.symlink_to(Path(sys.executable).resolve())
    interpreters = Interpreters(
        [tmp_path / "python_dirs"], variables=alone, own=tmp_path / "missing"
    )

    assert Path(sys.executable).resolve() in [one.path for one in interpreters.found()]


@pytest.mark.parametrize(
    ("name", "folder"), [("PATH", "{}/bin"), ("PYENV_ROOT", "{}/versions/3.99.1/bin")]
)
def test_path_and_pyenv_are_looked_into(tmp_path: Path, name: str, folder: str) -> None:
    root = tmp_path / "here"
    at = Path(folder.format(root))
    at.mkdir(parents=True)
    (at / "python3.99").symlink_to(Path(sys.executable).resolve())
    variables = {"HOME": str(tmp_path), name: str(at if name == "PATH" else root)}
    interpreters = Interpreters(variables=variables, own=tmp_path / "missing")

    assert Path(sys.executable).resolve() in [one.path for one in interpreters.found()]


def test_scripts_and_what_does_not_answer_are_passed_by(
    tmp_path: Path, alone: dict[str, str]
) -> None:
    (tmp_path / "python3.97").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3.98").symlink_to("/bin/true")
    (tmp_path / "python3.99").write_bytes(b"\x7fELF nothing")
    (tmp_path / "python3.96").symlink_to(tmp_path / "nowhere")
    for path in tmp_path.glob("python3.9[79]"):
        path.chmod(0o755)
    before = Interpreters(variables=alone).found()

    assert Interpreters([tmp_path], variables=alone).found() == before


def test_a_python_is_asked_again_when_its_file_changes(
    tmp_path: Path, alone: dict[str, str]
) -> None:
    interpreters = Interpreters([tmp_path], variables=alone)
    path = tmp_path / "python3.99"
    shutil.copyfile("/bin/true", path)
    path.chmod(0o755)
    before = interpreters.found()

    path.unlink()
    path.symlink_to(Path(sys.executable).resolve())
    os.utime(path, (1, 1))

    assert {one.path for one in interpreters.found()} == {one.path for one in before}
    assert path.resolve() in {one.path for one in interpreters.found()}


def test_the_newest_that_fits_is_chosen_and_others_are_told(
    tmp_path: Path, alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tuple(
        Interpreter(Path(f"/p/{minor}"), (3, minor, micro), "linux-x86_64", f"cpython-3{minor}", ())
        for minor, micro in ((11, 2), (13, 1), (12, 9), (10, 4), (12, 1))
    )
    interpreters = Interpreters(variables=alone, own=tmp_path / "missing")
    monkeypatch.setattr(interpreters, "found", lambda: there)

    assert interpreters.pick("").version == (3, 13, 1)
    assert interpreters.pick("<3.13").version == (3, 12, 9)
    assert interpreters.pick(">=3.11,<3.12").version == (3, 11, 2)
    with pytest.raises(NoInterpreter) as refused:
        interpreters.pick(">=3.14")
    assert "fits >=3.14: there is 3.13.1, 3.12.9, 3.12.1, 3.11.2 (and " in str(refused.value)
    with pytest.raises(NoInterpreter, match=r"\(and 3\.10\.4, in which no plugin runs\); ask"):
        interpreters.pick("==3.10.*")
    with pytest.raises(NoInterpreter, match="this machine is linux-x86_64"):
        interpreters.for_lock("3.13", "linux-aarch64")
    with pytest.raises(NoInterpreter, match="no version of Python"):
        interpreters.pick("three")
