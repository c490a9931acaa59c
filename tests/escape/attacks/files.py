"""Files: reading, writing and listing what is not the trigger's own.

A safe engine shows of the file system what the interpreter needs, the plugin and the trigger's
own folder; everything else is not there, and only the own folder and /tmp can be written.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import tempfile
from pathlib import Path

from .catalog import SECRET, Local, World, attack
from .kernel import syscall


def _first(found: list[str]) -> str | None:
    return "; ".join(found[:3]) or None


@attack()
def read_outside(world: World, local: Local) -> str | None:
    """Try: read a file that every user may read. Safe: there is no such file."""
    return Path(world.secret).read_text()


@attack()
def write_outside(world: World, local: Local) -> str | None:
    """Try: make a file in a folder that every user may write to. Safe: no such folder."""
    target = Path(world.outside, f"{world.mark}-written")
    target.write_text("here I was")
    return f"wrote {target}"


@attack()
def list_outside(world: World, local: Local) -> str | None:
    """Try: list a folder of somebody else's. Safe: there is no such folder."""
    return _first(os.listdir(world.outside))


@attack()
def read_home_folders(world: World, local: Local) -> str | None:
    """Try: list /home, /root, /var, /srv, /opt. Safe: none of them is there, or all are empty."""
    found = []
    for folder in ("/home", "/root", "/var", "/srv", "/opt", "/boot", "/mnt"):
        try:
            found += [f"{folder}/{name}" for name in os.listdir(folder)]
        except OSError:
            continue
    # The parents of what the worker needs are there, with nothing else in them.
    return _first([path for path in found if not _is_on_the_way(path, world)])


def _is_on_the_way(path: str, world: World) -> bool:
    import sys  # noqa: PLC0415  only here

    needed = (sys.base_prefix, sys.prefix, world.plugin_dir, world.runtime_dir)
    return any(place == path or place.startswith(path + "/") for place in needed)


@attack()
def read_shadow(world: World, local: Local) -> str | None:
    """Try: read the password hashes. Safe: there is no such file."""
    return Path("/etc/shadow").read_text()[:20]


@attack()
def read_etc(world: World, local: Local) -> str | None:
    """Try: read settings of the machine. Safe: none of these files is there."""
    for name in ("fstab", "hostname", "machine-id", "crontab", "ssh/sshd_config", "sudoers"):
        path = Path("/etc", name)
        if path.exists():
            return f"{path} is there"
    return None


@attack()
def read_server_files(world: World, local: Local) -> str | None:
    """Try: read the log, the catalog and the Parquet files. Safe: no file of the server's."""
    found = []
    for folder, _, names in os.walk(world.data_dir):
        for name in names:
            path = Path(folder, name)
            if world.mark not in str(path) and "private" not in path.parts:
                found += [str(path)] if path.read_bytes()[:1] else []
    return _first([path for path in found if "/runtime/" not in path and "/.venv/" not in path])


@attack()
def write_server_files(world: World, local: Local) -> str | None:
    """Try: make a file in the data folder. Safe: it cannot be written, or is not there."""
    target = Path(world.data_dir, f"{world.mark}-planted")
    target.write_text("here I was")
    target.unlink()
    return f"wrote {target}"


@attack()
def read_other_code(world: World, local: Local) -> str | None:
    """Try: read the plugin of another trigger. Safe: it is not there."""
    return Path(world.victim_code).read_text()[:40]


@attack()
def write_other_code(world: World, local: Local) -> str | None:
    """Try: change the plugin of another trigger. Safe: it is not there. Judged from outside."""
    with Path(world.victim_code).open("a") as file:
        file.write("\n# changed by somebody else\n")
    return "appended a line"


@attack()
def read_other_state(world: World, local: Local) -> str | None:
    """Try: read what another trigger's plugin keeps. Safe: it is not there."""
    return Path(world.victim_state).read_text()[:40]


@attack()
def write_other_state(world: World, local: Local) -> str | None:
    """Try: overwrite what another trigger's plugin keeps. Safe: not there; judged from outside."""
    with Path(world.victim_state).open("r+") as file:
        file.write("overwritten")
    return "wrote over it"


@attack()
def write_own_code(world: World, local: Local) -> str | None:
    """Try: change the plugin's own code. Safe: it can be read only."""
    with Path(__file__).open("a") as file:
        file.write("\n# changed by itself\n")
    return f"appended a line to {__file__}"


@attack()
def write_interpreter(world: World, local: Local) -> str | None:
    """Try: write below /usr and the interpreter. Safe: read-only."""
    import sys  # noqa: PLC0415  only here

    for folder in ("/usr/lib", "/usr/local/lib", sys.base_prefix, "/etc", "/"):
        target = Path(folder, f".{world.mark}")
        try:
            target.write_text("")
        except OSError:
            continue
        target.unlink()
        return f"wrote {target}"
    return None


@attack()
def follow_proc_root(world: World, local: Local) -> str | None:
    """Try: reach the host's files through /proc/<pid>/root and cwd. Safe: no such process."""
    found = []
    for pid in (world.server_pid, world.victim_pid, 1, os.getppid()):
        for link in ("root", "cwd"):
            path = Path(f"/proc/{pid}/{link}{world.secret}")
            try:
                found += [f"{path}"] if SECRET in path.read_text() else []
            except OSError:
                continue
    return _first(found)


@attack()
def follow_proc_fd(world: World, local: Local) -> str | None:
    """Try: open the server's descriptors through /proc/<pid>/fd. Safe: no such process."""
    folder = Path(f"/proc/{world.server_pid}/fd")
    links = [f"{name} -> {os.readlink(folder / name)}" for name in os.listdir(folder)]
    return _first(links)


@attack()
def read_own_symlink(world: World, local: Local) -> str | None:
    """Try: read the secret through a symbolic link in the own folder. Safe: it leads nowhere."""
    link = Path(os.environ["PLUGIN_DIR"], f"{world.mark}-link")
    link.symlink_to(world.secret)
    try:
        return link.read_text()
    finally:
        link.unlink()


@attack(is_lasting=True)
def plant_symlinks(world: World, local: Local) -> str | None:
    """Try: plant links where the server makes its own at the next start. Judged from outside.

    Safe: after a restart nothing has been made, changed or removed where the links lead to.
    """
    own = Path(os.environ["PLUGIN_DIR"])
    for name in (".venv", "beside.toml", "attacks", "entry.py"):
        with_name = own / name
        with contextlib.suppress(FileNotFoundError):
            with_name.rename(own / f"{name}.{world.mark}")
        with_name.symlink_to(world.outside)
    return None


@attack()
def hard_link(world: World, local: Local) -> str | None:
    """Try: take the secret home by a hard link. Safe: it is not there."""
    target = Path(os.environ["PLUGIN_DIR"], f"{world.mark}-hard")
    target.hardlink_to(world.secret)
    try:
        return target.read_text()
    finally:
        target.unlink()


@attack()
def make_device(world: World, local: Local) -> str | None:
    """Try: make a node of the memory or disk device and read it. Safe: not permitted."""
    target = Path(os.environ["PLUGIN_DIR"], f"{world.mark}-device")
    disk = os.stat("/").st_dev
    os.mknod(target, stat.S_IFBLK | 0o600, disk)
    try:
        return f"read {len(target.open('rb').read(512))} bytes of the disk"
    finally:
        target.unlink()


@attack()
def open_devices(world: World, local: Local) -> str | None:
    """Try: open devices of the machine. Safe: /dev has only null, zero, random and the like."""
    for name in ("mem", "kmsg", "port", "vda", "sda", "nvme0n1", "fuse", "kvm", "vsock"):
        path = f"/dev/{name}"
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            continue
        return f"opened {path}"
    return None


@attack()
def temporary_outside(world: World, local: Local) -> str | None:
    """Try: leave files in the shared folders for temporary files. Judged from outside.

    Safe: what is written to /tmp and /dev/shm is the worker's own; /var/tmp and /run are not there.
    """
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock"):
        try:
            Path(folder, f"{world.mark}-temporary").write_text("here I was")
        except OSError:
            continue
    return None


@attack()
def break_chroot(world: World, local: Local) -> str | None:
    """Try: change the root folder, which is the first half of leaving one. Safe: refused."""
    os.chroot("/")
    return "chroot works"


@attack()
def open_by_handle(world: World, local: Local) -> str | None:
    """Try: open the disk's root folder by its number, around all mounts. Safe: refused."""
    root_inode = 2  # of ext file systems
    handle = ctypes.create_string_buffer(struct.pack("=IiII", 8, 1, root_inode, 0))
    place = os.open(os.environ["PLUGIN_DIR"], os.O_RDONLY)
    try:
        root = syscall("open_by_handle_at", place, handle, os.O_RDONLY)
    finally:
        os.close(place)
    try:
        return f"opened the root of the disk: {os.listdir(root)[:3]}"
    finally:
        os.close(root)
