"""Starts of workers that fail, are refused, or go without walls."""

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.sandbox.launch import Launcher, SandboxUnavailable, Start
from engine.sandbox.policy import Layers, Policy
from tests.confined import (
    BWRAP,
    LANDLOCK,
    Confined,
)
from tests.serving import eventually

IS_ROOT = os.geteuid() == 0
SYSTEM_PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(not Path(BWRAP).exists(), reason="bubblewrap is not installed")


def test_without_any_layer_the_worker_runs_as_before(anyone: Confined) -> None:
    policy = replace(anyone.policy, uid=None)

    outcome = anyone.run("import os; print(os.path.exists('/var'))", policy, Layers())

    assert (outcome.status, outcome.output) == (0, "True\n")


def test_root_without_a_user_for_the_worker_is_refused(root: Confined) -> None:
    outcome = root.run("", replace(root.policy, uid=None))

    assert "must give its workers a user id of their own" in outcome.refusal


@pytest.mark.skipif(
    Path(sys.base_prefix).parts[1] != "root" or Path("/root").stat().st_mode & 0o077,
    reason="the interpreter does not lie below a closed home",
)
def test_a_closed_interpreter_without_namespaces_is_refused_with_a_way_out(root: Confined) -> None:
    outcome = root.run("", layers=LANDLOCK)

    assert "because /root is closed to others; install bubblewrap" in outcome.refusal


def test_grants_that_hold_the_servers_folders_are_refused(user: Confined) -> None:
    policy = replace(user.policy, read=(str(user.folder),))

    assert "holds folders of the server's own" in user.run("", policy).refusal


def test_a_granted_path_that_became_a_link_is_refused(user: Confined) -> None:
    (user.folder / "models").symlink_to("/etc")
    policy = replace(user.policy, read=(str(user.folder / "models"),))

    assert "symbolic link; grant /etc instead" in user.run("", policy).refusal


def test_a_program_that_others_may_change_is_not_used_as_bubblewrap(user: Confined) -> None:
    program = user.folder / "bwrap"
    program.touch()
    program.chmod(0o777)

    outcome = user.run("", layers=Layers(bwrap=str(program)))

    assert "can be changed by other users" in outcome.refusal


class FailingGroup:
    """A group that cannot take a process, and notes what is done to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.pid = 0

    def add(self, pid: int) -> None:
        self.pid = pid
        raise OSError("the group is gone")

    def kill(self) -> None:
        self.calls.append("kill")

    def remove(self) -> None:
        self.calls.append("remove")


def test_a_failed_start_leaves_no_process_descriptor_or_group(tmp_path: Path) -> None:
    group = FailingGroup()
    before = _descriptors()

    with pytest.raises(OSError, match="the group is gone"):
        Launcher().start(_order(tmp_path), group)

    assert _descriptors() == before
    assert group.calls == ["kill", "remove"]
    assert not Path(f"/proc/{group.pid}").exists()


def test_a_refused_start_removes_the_group(tmp_path: Path) -> None:
    group = FailingGroup()
    order = _order(tmp_path)
    wrong = replace(order, layers=Layers(bwrap="/missing/bwrap"))

    with pytest.raises(SandboxUnavailable, match="install bubblewrap"):
        Launcher().start(wrong, group)

    assert group.calls == ["kill", "remove"]


def test_the_gate_opens_when_the_worker_and_what_it_started_are_in_the_group(
    tmp_path: Path,
) -> None:
    lines = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['/bin/sleep', '60'])\n"
        "open('started', 'w').write(str(child.pid))\n"
        "os.rename('started', 'child')\n"
        "os.read(0, 1)\n"
        "open('ran', 'w')\n"
        "child.kill()\n"
    )
    members: list[int] = []

    class Watching(FailingGroup):
        def add(self, pid: int) -> None:
            if not members:
                eventually((tmp_path / "plugins" / "child").exists)  # it may start that before
            assert not (tmp_path / "plugins" / "ran").exists()
            members.append(pid)

    (tmp_path / "plugins").mkdir()
    order = _order(tmp_path)
    own = replace(order.policy, private_dir=order.policy.plugin_dir)
    start = replace(order, policy=own, command=(sys.executable, "-c", lines))

    started = Launcher().start(start, Watching())

    assert started.popen.wait(10) == 0
    assert members == [started.pid, int((tmp_path / "plugins" / "child").read_text())]
    assert (tmp_path / "plugins" / "ran").exists()


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _order(folder: Path) -> Start:
    policy = Policy(
        trigger_id=1,
        uid=None,
        plugin_dir=str(folder / "plugins"),
        private_dir=str(folder / "private" / "1"),
        sockets_dir=str(folder / "sockets"),
        runtime_dir=str(folder),
        environment_dir=str(folder),
        prefixes=(),
    )
    with contextlib.suppress(FileExistsError):
        (folder / "sockets").mkdir()
    return Start(policy, Layers(), ("/bin/true",), b"{}", 2)
