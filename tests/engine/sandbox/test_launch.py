"""Real workers behind bubblewrap: as root with a user id of their own, and as an ordinary user."""

import contextlib
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.sandbox.launch import Launcher, SandboxUnavailable, Start
from engine.sandbox.policy import Layers, Policy, ViewEntry
from tests.confined import (
    BWRAP,
    LANDLOCK,
    NAMESPACES,
    OWN_UID,
    USER,
    Confined,
    place,
    why_no_ordinary_user,
)
from tests.serving import eventually

IS_ROOT = os.geteuid() == 0
SYSTEM_PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(not Path(BWRAP).exists(), reason="bubblewrap is not installed")


@pytest.fixture
def root() -> Iterator[Confined]:
    if not IS_ROOT:
        pytest.skip("the tests do not run as root")
    with place(None, sys.executable) as confined:
        yield confined


@pytest.fixture
def user() -> Iterator[Confined]:
    interpreter = SYSTEM_PYTHON if IS_ROOT else sys.executable
    reason = why_no_ordinary_user(interpreter)
    if reason:
        pytest.skip(reason)
    with place(USER if IS_ROOT else None, interpreter) as confined:
        yield confined


@pytest.fixture(params=["root", "user"])
def anyone(request: pytest.FixtureRequest) -> Confined:
    return request.getfixturevalue(request.param)


TRY = """
import json, os
def fails(act):
    try:
        act()
    except OSError as error:
        return error.strerror
    return "done"
"""


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


def test_nothing_but_its_own_folders_can_be_written(anyone: Confined) -> None:
    lines = """
places = ["/", "/etc", "/usr", "/run", FOLDER + "/plugins", "/dev", "/proc",
          "/home", "/var", os.path.dirname(FOLDER), FOLDER, FOLDER + "/runtime",
          FOLDER + "/sockets", FOLDER + "/sockets/7", FOLDER + "/plugins/.venv"]
def plant(place):
    open(place + "/planted", "w").close()
print(json.dumps({place: fails(lambda: plant(place)) for place in places}))
"""
    outcome = anyone.run(f"{TRY}FOLDER = {str(anyone.folder)!r}\n{lines}")

    refused = {
        "Read-only file system",
        "Permission denied",
        "No such file or directory",
    }
    written = {place for place, result in outcome.json().items() if result not in refused}
    # Folders on the way to its own, in its own /tmp: they do not exist outside.
    assert written <= {
        "/tmp",
        str(anyone.folder),
        f"{anyone.folder}/sockets",
        f"{anyone.folder}/plugins",
    }
    assert not list(anyone.folder.rglob("planted"))


def test_what_belongs_to_others_does_not_exist(anyone: Confined) -> None:
    lines = """
seen = {"/": sorted(os.listdir("/")), "folder": sorted(os.listdir(FOLDER)),
        "node": sorted(os.listdir(FOLDER + "/node")), "sockets": os.listdir(FOLDER + "/sockets"),
        "view": os.listdir(FOLDER + "/plugins"), "root": fails(lambda: os.listdir("/root")),
        "shadow": os.path.exists("/etc/shadow"),
        "other": os.path.exists(FOLDER + "/plugins/other.py"),
        "system": [sorted(os.listdir("/sys" + below))
                   for below in ("", "/class/power_supply", "/devices/system")],
        "users": open("/etc/passwd").read().count(":x:"),
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "interfaces": os.listdir("/proc/self/net") and open("/proc/net/dev").read().count(": ")}
print(json.dumps(seen))
"""
    seen = anyone.run(f"{TRY}FOLDER = {str(anyone.folder)!r}\n{lines}").json()

    assert not {"home", "var", "opt", "srv", "mnt", "boot"} & set(seen["/"])
    assert seen["system"] == [["class", "devices"], [], ["cpu"]]
    assert seen["folder"] == ["node", "plugins", "runtime", "sockets"]
    assert seen["node"] == ["private"]
    assert seen["sockets"] == ["7"]
    assert sorted(seen["view"]) == [".venv", "alert.py"]
    assert (seen["shadow"], seen["other"], seen["users"]) == (False, False, 2)
    assert seen["processes"] <= 2
    assert seen["interfaces"] == 1


@pytest.mark.skipif(
    Path(sys.base_prefix).parts[1] != "root" or Path("/root").stat().st_mode & 0o077,
    reason="the interpreter does not lie below a closed home",
)
def test_an_interpreter_below_a_closed_home_is_reached_and_nothing_beside_it(
    root: Confined,
) -> None:
    outcome = root.run(
        "import json, os, sys, sqlite3\n"
        "above = sys.base_prefix.split('/')[:-1]\n"
        "print(json.dumps([[oct(os.stat('/'.join(above[:n])).st_mode)[-3:],"
        " os.listdir('/'.join(above[:n]))] for n in range(2, len(above) + 1)]))"
    )

    levels = outcome.json()
    parts = Path(sys.base_prefix).parts[2:]
    assert levels == [["755", [part]] for part in parts]


def test_the_private_folder_is_writable_and_stays(anyone: Confined) -> None:
    lines = """
os.makedirs("queue/inner", exist_ok=True)
with open("queue/inner/lines", "a") as file:
    file.write("x")
print(json.dumps([os.getcwd(), open("queue/inner/lines").read()]))
"""
    first = anyone.run(TRY + lines).json()
    second = anyone.run(TRY + lines).json()

    assert first == [anyone.policy.private_dir, "x"]
    assert second == [anyone.policy.private_dir, "xx"]


def test_links_lead_to_the_view_and_the_environment(anyone: Confined) -> None:
    (anyone.plugins / ".venv" / "marker").write_text("environment")

    outcome = anyone.run(
        "import json\nprint(json.dumps([open('alert.py').read(), open('.venv/marker').read()]))"
    )

    assert outcome.json() == ["the plugin", "environment"]


def test_planted_links_create_nothing_outside_at_the_next_start(anyone: Confined) -> None:
    victim = anyone.folder / "victim"
    victim.mkdir(mode=0o777)
    victim.chmod(0o777)
    (anyone.plugins / "sub").mkdir()
    (anyone.plugins / "x.toml").write_text("data")
    (anyone.plugins / "sub" / "deep.py").write_text("code")
    if anyone.user:
        os.chown(victim, anyone.user, anyone.user)
    more = (
        ViewEntry("x.toml", str(anyone.plugins / "x.toml")),
        ViewEntry("sub/deep.py", str(anyone.plugins / "sub" / "deep.py")),
    )
    policy = replace(anyone.policy, view=(*anyone.policy.view, *more))
    plant = f"""
import os
victim = {str(victim)!r}
os.remove("alert.py"); os.symlink(victim + "/alert.py", "alert.py")
os.symlink(victim + "/x.toml", "x.toml")
os.remove(".venv"); os.symlink(victim + "/venv", ".venv")
os.symlink(victim, "sub")
os.symlink(victim, ".tmp")
"""
    assert anyone.run(plant).status == 0

    outcome = anyone.run("print(open('x.toml').read(), open('sub/deep.py').read())", policy)

    assert outcome.output == "data code\n"
    assert list(victim.iterdir()) == []


def test_granted_paths_are_seen_at_their_place(anyone: Confined) -> None:
    for name in ("models", "reports"):
        (anyone.folder / name).mkdir()
        (anyone.folder / name / "one").write_text(name)
        (anyone.folder / name).chmod(0o777)
    models, reports = str(anyone.folder / "models"), str(anyone.folder / "reports")
    policy = replace(anyone.policy, read=(models,), write=(reports,))
    lines = f"""
def write(folder):
    open(folder + "/two", "w").close()
print(json.dumps([open({models!r} + "/one").read(), fails(lambda: write({models!r})),
                  fails(lambda: write({reports!r}))]))
"""
    outcome = anyone.run(TRY + lines, policy)

    assert outcome.json() == ["models", "Read-only file system", "done"]
    assert (anyone.folder / "reports" / "two").exists()


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
    ended = _have_ended(below, within_s=1)
    server.wait()
    server.stdout.close()

    assert ended


def test_without_namespaces_landlock_keeps_the_rest_of_the_disk_closed(user: Confined) -> None:
    lines = f"""
FOLDER = {str(user.folder)!r}
def read(path):
    open(path).read()
def write(path):
    open(path, "w").close()
print(json.dumps([open("alert.py").read(), fails(lambda: read(FOLDER + "/plugins/other.py")),
    fails(lambda: read("/etc/passwd")), fails(lambda: read("/etc/hostname")),
    fails(lambda: write(FOLDER + "/node/x")), fails(lambda: write("/tmp/planted-here")),
    fails(lambda: write(".tmp/own")), fails(lambda: write("own"))]))
"""
    outcome = user.run(TRY + lines, layers=LANDLOCK)

    denied = "Permission denied"
    assert outcome.json() == ["the plugin", denied, "done", *[denied] * 3, "done", "done"]


def test_without_namespaces_root_gives_the_worker_a_user_of_its_own() -> None:
    if not IS_ROOT or not Path(SYSTEM_PYTHON).exists():
        pytest.skip("no root, or no Python that others can reach")
    lines = """
import socket
def read(path):
    open(path).read()
def connect():
    socket.socket(socket.AF_UNIX).connect(FOLDER + "/sockets/7/endpoint")
print(json.dumps([os.getresuid(), open("alert.py").read(), fails(lambda: read("/etc/shadow")),
    fails(lambda: open("own", "w")), fails(lambda: open(".tmp/own", "w")), fails(connect),
    fails(lambda: os.remove(FOLDER + "/sockets/7/endpoint"))]))
"""
    with place(None, SYSTEM_PYTHON) as confined, socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(f"{confined.policy.sockets_dir}/endpoint")
        endpoint.listen()
        text = f"{TRY}FOLDER = {str(confined.folder)!r}\n{lines}"

        outcome = confined.run(text, layers=LANDLOCK)
        with_namespaces = confined.run(text)

    denied = "Permission denied"
    uids, *rest = outcome.json()
    assert uids == [OWN_UID] * 3
    assert rest == ["the plugin", denied, "done", "done", "done", denied]
    uids, *rest = with_namespaces.json()
    assert uids == [OWN_UID] * 3
    assert rest[:3] == ["the plugin", "No such file or directory", "done"]
    assert rest[4:] == ["done", "Read-only file system"]


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
