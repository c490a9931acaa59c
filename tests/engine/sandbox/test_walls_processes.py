"""What real workers are and see of the machine, and how they end: as root, and as a user."""

import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.sandbox.policy import Layers
from tests.confined import (
    BWRAP,
    LANDLOCK,
    NAMESPACES,
    OWN_UID,
    TRY,
    Confined,
)

IS_ROOT = os.geteuid() == 0
SYSTEM_PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(not Path(BWRAP).exists(), reason="bubblewrap is not installed")


def test_the_worker_is_nobody_and_holds_no_capability(anyone: Confined) -> None:
    outcome = anyone.run(
        "import json, os\n"
        "status = dict(l.split(':\\t', 1) for l in open('/proc/self/status').read().splitlines())\n"
        "print(json.dumps([os.getresuid(), os.getgroups(), status['CapEff'], status['CapPrm'],"
        " status['CapInh'], status['CapAmb'], status['NoNewPrivs']]))"
    )

    uids, groups, *capabilities, no_new_privs = outcome.json()
    expected = anyone.policy.uid or anyone.user or os.getuid()
    assert uids == [expected] * 3
    assert expected not in groups or groups == [expected]
    assert {int(text, 16) for text in capabilities} == {0}
    assert no_new_privs == "1"


def test_the_users_of_both_servers_differ(root: Confined, user: Confined) -> None:
    assert root.policy.uid == OWN_UID
    assert user.policy.uid is None


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 128 + 11),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
    ],
)
def test_the_exit_status_passes_through(anyone: Confined, lines: str, status: int) -> None:
    assert anyone.run(lines).status == status


def test_the_environment_holds_only_what_was_given(anyone: Confined) -> None:
    outcome = anyone.run("import json, os\nprint(json.dumps(dict(os.environ)))")

    seen = outcome.json()
    seen.pop("LC_CTYPE", None)  # Python sets it where no language is given
    assert seen == {"PLUGIN_VARIABLE": "given", "PWD": "/"}


def test_arguments_and_environment_on_the_host_show_no_paths_or_values(anyone: Confined) -> None:
    lines = "import sys, select\nprint('up', flush=True)\nselect.select([], [], [], 0.2)"

    outcome = anyone.run(lines, look=True)

    helpers = [text for text in outcome.arguments if "bwrap" in text]
    shown = " ".join(outcome.arguments[:4])  # bubblewrap and its helper; then the worker itself
    assert helpers
    assert "--args" in shown
    for hidden in ("PLUGIN_VARIABLE", "SECRET", "private", "plugins", "sockets", "--bind"):
        assert hidden not in shown
    assert "SECRET" not in " ".join(outcome.arguments)


def test_descriptors_of_the_launch_do_not_reach_the_worker(anyone: Confined) -> None:
    # One of a folder would be a way out: `..` of it is the host's.
    models = anyone.folder / "models"
    (models / "inner").mkdir(parents=True)
    policy = replace(anyone.policy, read=(str(models), str(models / "inner")))
    outcome = anyone.run(
        "import json, os\n"
        "found = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.lexists(f'/proc/self/fd/{n}')}\n"
        "print(json.dumps(found))",
        policy,
    )

    found = outcome.json()
    assert set(found) == {"0", "1", "2"}
    assert found["0"] == "/dev/null"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_temporary_folders_have_limits_of_bytes_and_inodes(anyone: Confined, folder: str) -> None:
    policy = replace(anyone.policy, tmp_bytes=1 << 20, tmp_inodes=64)
    lines = f"""
def many():
    for number in range(100):
        open({folder!r} + "/" + str(number), "w").close()
def large():
    with open({folder!r} + "/0", "wb") as file:
        file.write(bytes(2 << 20))
print(json.dumps([fails(many), fails(large)]))
"""
    outcome = anyone.run(TRY + lines, policy)

    assert outcome.json() == ["No space left on device"] * 2


def test_a_nested_user_namespace_opens_nothing(anyone: Confined) -> None:
    lines = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, REMOUNT_RW = 0x10000000, 0x00020000, 32 | 4096
def nest():
    if libc.unshare(NEWUSER | NEWNS):
        raise OSError(ctypes.get_errno(), "no namespace")
def remount():
    for flags in (32, 32 | 2 | 4, REMOUNT_RW):
        if libc.mount(b"none", b"/", None, ctypes.c_ulong(flags), None) == 0:
            return
    raise OSError(ctypes.get_errno(), "refused")
def lift():
    if libc.umount2(b"/proc/irq", 2):
        raise OSError(ctypes.get_errno(), "refused")
nested = fails(nest)
print(json.dumps([fails(remount), fails(lift), fails(lambda: open("/x", "w"))]))
"""
    outcome = anyone.run(TRY + lines)

    remounted, lifted, written = outcome.json()
    assert remounted == "refused"
    assert lifted == "refused"
    assert written != "done"


def test_the_network_is_a_loopback_of_its_own(anyone: Confined) -> None:
    lines = """
import socket
def go(address):
    socket.create_connection(address, timeout=1)
print(json.dumps([fails(lambda: go(("192.0.2.1", 80))), socket.gethostname()]))
"""
    assert anyone.run(TRY + lines).json() == ["Network is unreachable", "bulkhead"]


def test_resource_limits_are_in_force(anyone: Confined) -> None:
    lines = "import json, resource as r\nprint(json.dumps(r.getrlimit(r.RLIMIT_FSIZE)))"

    outcome = anyone.run(lines, rlimits=[(resource.RLIMIT_FSIZE, 4096, 8192)])

    assert outcome.json() == [4096, 8192]


@pytest.mark.parametrize("layers", [NAMESPACES, LANDLOCK], ids=["namespaces", "landlock"])
def test_all_processes_are_gone_within_a_second_of_the_server(
    anyone: Confined, layers: Layers
) -> None:
    interpreter = anyone.interpreter
    if layers is LANDLOCK and interpreter == sys.executable and IS_ROOT:
        pytest.skip("without namespaces the interpreter would have to be open to others")
    daemon = "os.setsid(); os.fork() and os._exit(0)" if layers is NAMESPACES else "os._exit(0)"
    lines = (
        "import ctypes, os, signal, sys, time\n"
        "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"if os.fork() == 0:\n    {daemon}\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(60)"
    )
    server = anyone.start(lines, layers=layers, tell=True)
    assert server.stdout is not None
    assert server.stdout.readline().strip() == b"up"
    below = psutil.Process(server.pid).children(recursive=True)
    assert below

    server.kill()
    ended = _have_ended(below, within_s=20)
    server.wait()
    server.stdout.close()

    assert ended


def _have_ended(processes: list[psutil.Process], within_s: float) -> bool:
    """Wait for the end of processes that others reap, some time."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if not any(_is_alive(process) for process in processes):
            return True
    return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
