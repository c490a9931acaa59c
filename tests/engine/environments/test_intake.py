"""What a hostile build leaves behind: nothing of it leads the server anywhere, or is kept open."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.environments.failures import InstallFailed
from engine.environments.intake import take_in
from engine.environments.interpreters import Interpreter

PYTHON = Path(os.path.realpath(sys.executable))
INTERPRETER = Interpreter(PYTHON, (3, 11, 0), "linux-x86_64", "cpython-311", ())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make what an environment looks like."""
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "lib" / "python3.11" / "site-packages" / "pkg").mkdir(parents=True)
    (root / "bin" / "python").symlink_to(PYTHON)
    (root / "bin" / "python3").symlink_to("python")
    (root / "lib64").symlink_to("lib")
    (root / "lib" / "python3.11" / "site-packages" / "pkg" / "mod.py").write_text("x = 1\n")
    return root


def python_of_its_own(tree: Path) -> None:
    (tree.parent / "evil").write_text("#!/bin/sh\n")
    (tree / "bin" / "python").unlink()
    (tree / "bin" / "python").symlink_to(tree.parent / "evil")


def programs_elsewhere(tree: Path) -> None:
    (tree / "bin").rename(tree.parent / "bin")
    (tree / "bin").symlink_to(tree.parent / "bin")


def a_link_in_its_place(tree: Path) -> None:
    tree.rename(tree.parent / "other")
    tree.symlink_to(tree.parent / "other")


def a_link_out(tree: Path) -> None:
    (tree / "lib" / "secret").symlink_to("/etc/shadow")


def a_folder_out_by_way_of_a_link(tree: Path) -> None:
    (tree / "lib" / "near").symlink_to("python3.11/site-packages")
    (tree / "lib" / "far").symlink_to("near/../../../..")


def a_pipe(tree: Path) -> None:
    os.mkfifo(tree / "environment.json")


def a_socket(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tree / "s"))


def folders_without_end(tree: Path) -> None:
    (tree / ("d/" * 120)).mkdir(parents=True)


ATTACKS = (
    python_of_its_own,
    programs_elsewhere,
    a_link_in_its_place,
    a_link_out,
    a_folder_out_by_way_of_a_link,
    a_pipe,
    a_socket,
    folders_without_end,
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_environment_is_refused(tree: Path, attack: Callable[[Path], None]) -> None:
    attack(tree)

    with pytest.raises(InstallFailed):
        take_in(tree, INTERPRETER)


def test_what_others_could_change_or_run_as_its_owner_is_closed(tree: Path) -> None:
    module = tree / "lib" / "python3.11" / "site-packages" / "pkg" / "mod.py"
    module.chmod(0o6777)
    module.parent.chmod(0o2777)

    take_in(tree, INTERPRETER)

    assert module.stat().st_mode & 0o7777 == 0o755
    assert module.parent.stat().st_mode & 0o7777 == 0o755
