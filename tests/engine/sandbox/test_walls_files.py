"""What real workers see of the disk: as root with a user id of their own, and as a user."""

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.sandbox.policy import ViewEntry
from tests.confined import (
    BWRAP,
    LANDLOCK,
    OWN_UID,
    TRY,
    Confined,
    place,
)

IS_ROOT = os.geteuid() == 0
SYSTEM_PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(not Path(BWRAP).exists(), reason="bubblewrap is not installed")


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
