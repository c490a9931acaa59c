"""What one worker may see and touch, as a value; the kernel's layers are told from it.

Everything is found at the path that it has on the host, with bubblewrap (level A) and without
(level B). What was not granted does not exist with bubblewrap, and is refused by Landlock. Only
temporary files differ: they are in a /tmp of the worker's own, or in its private folder.

The private folder is PLUGIN_DIR. Since the plugin owns it, nothing is mounted below it: symbolic
links in it lead to the entries of the view.
Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Literal

__all__ = [
    "DEVICES",
    "ETC",
    "PROCESSORS",
    "SYSTEM",
    "TEMPORARY",
    "Access",
    "CgroupKind",
    "Layers",
    "Policy",
    "ViewEntry",
    "is_in",
    "landlock_rules",
    "objection",
    "temporary_seen",
]

# Access of a Landlock rule: `read` a file, or a folder and all below it; `write` is everything
# that can be done to files, reading included; `device` reads and writes a device that is there;
# `socket` connects to the sockets in a folder.
Access = Literal["read", "write", "device", "socket"]

TEMPORARY = ".tmp"  # in the private folder, where there is no /tmp of the worker's own

SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/sbin")
ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki",
    "/etc/ssl",
    "/etc/timezone",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_MADE_UP = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")
PROCESSORS = "/sys/devices/system/cpu"
# Without a /proc of the worker's own: itself, and what counts processors, memory and disks.
_PROC = (
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/diskstats",
    "/proc/filesystems",
    "/proc/vmstat",
    PROCESSORS,
)


class CgroupKind(Enum):
    """Which control groups hold a worker."""

    V2 = "v2"
    V1 = "v1"


@dataclass(frozen=True, slots=True)
class Layers:
    """Which layers confine a worker; none at all when the sandbox is off.

    Args:
        bwrap: absolute path of bubblewrap, None when it is not used.
        landlock_abi: of the kernel, 0 when Landlock is not used.
        seccomp: whether system calls are filtered.
        cgroup: None when no control groups are used.
        own_uid: whether each trigger has a user id of its own.
    """

    bwrap: str | None = None
    landlock_abi: int = 0
    seccomp: bool = False
    cgroup: CgroupKind | None = None
    own_uid: bool = False


@dataclass(frozen=True, slots=True)
class ViewEntry:
    """A file or folder that a worker finds in its PLUGIN_DIR though it lies elsewhere.

    Args:
        relative: path below PLUGIN_DIR, without `..`, as `alerts/rules.toml`.
        host_path: absolute path on the host.
        is_writable: whether writing it was granted.
    """

    relative: str
    host_path: str
    is_writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All that one worker may see; every path is absolute and normal.

    Args:
        trigger_id: catalog id.
        uid: user and group id of the worker, None when it keeps the server's.
        plugin_dir: the server's plugin folder, which the worker does not see.
        private_dir: the trigger's own folder, which is the worker's PLUGIN_DIR.
        sockets_dir: where the worker's own endpoints lie, and no others.
        runtime_dir: the runtime folder.
        environment_dir: the virtual environment.
        environment_name: where it is seen as well, if bubblewrap arranges what is seen; empty for
            nowhere.
        prefixes: folders of the interpreter's installation.
        view: what stands in PLUGIN_DIR beside the worker's own files.
        read: granted paths, seen at their own place.
        write: granted paths that may be changed.
        variables: the whole environment of the process.
        tmp_bytes: size of /tmp and of /dev/shm, each.
        tmp_inodes: files and folders in /tmp and in /dev/shm, each.
    """

    trigger_id: int
    uid: int | None
    plugin_dir: str
    private_dir: str
    sockets_dir: str
    runtime_dir: str
    environment_dir: str
    prefixes: tuple[str, ...]
    view: tuple[ViewEntry, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tmp_bytes: int = 64 << 20
    tmp_inodes: int = 16_384
    environment_name: str = ""


def temporary_seen(policy: Policy, layers: Layers) -> str:
    """Return the worker's folder for temporary files."""
    return "/tmp" if layers.bwrap else f"{policy.private_dir}/{TEMPORARY}"  # noqa: S108  its own


def landlock_rules(policy: Policy, layers: Layers) -> tuple[tuple[str, Access], ...]:
    """Return what Landlock is to allow.

    Rules name paths that may not exist, which the worker passes over. Links are followed.
    """
    own = _in_namespaces() if layers.bwrap else _all("read", _PROC)
    return (*_everywhere(policy), *own)


def _everywhere(policy: Policy) -> Iterator[tuple[str, Access]]:
    yield from _all("read", SYSTEM, ETC, _MADE_UP, policy.prefixes, policy.read)
    yield from _all("read", (policy.runtime_dir, policy.environment_dir))
    yield policy.sockets_dir, "socket"
    yield from _all("device", DEVICES)
    yield from _all("write", (policy.private_dir,), policy.write)
    yield from ((e.host_path, "write" if e.is_writable else "read") for e in policy.view)


def _in_namespaces() -> Iterator[tuple[str, Access]]:
    yield from _all("read", ("/proc", "/sys"))
    yield from _all("write", ("/tmp", "/dev/shm"))  # noqa: S108  both are the worker's own


def _all(access: Access, *groups: Iterable[str]) -> Iterator[tuple[str, Access]]:
    yield from ((path, access) for group in groups for path in group)


def objection(policy: Policy) -> str | None:
    """Return why a policy must not be put into force, None when it may.

    Grants are checked when they are given; a server that is moved may come to lie below one.
    """
    own = (policy.plugin_dir, policy.private_dir, policy.sockets_dir)
    code = (policy.runtime_dir, policy.environment_dir)
    for path in (*policy.read, *policy.write):
        if _is_any_in((*own, *code), path):
            return f"the granted path {path} holds folders of the server's own"
        if is_in(path, policy.private_dir):
            return f"the granted path {path} lies where the worker has files of its own"
    return _bad_place(policy, own) or _bad_writing(policy, code)


def _bad_place(policy: Policy, own: Iterable[str]) -> str | None:
    for path in own:
        for folder in (*SYSTEM, *policy.prefixes):
            if is_in(path, folder):
                return f"{path} lies below {folder}, which all plugins may read; keep it elsewhere"
    return None


def _bad_writing(policy: Policy, code: Iterable[str]) -> str | None:
    # As root, the worker's first lines are run from there before its user changes.
    run = (*SYSTEM, *policy.prefixes, *code)
    written = (*policy.write, *(e.host_path for e in policy.view if e.is_writable))
    for path in written:
        if _is_any_in(run, path) or any(is_in(path, folder) for folder in run):
            return f"the granted path {path} holds programs that the worker is started with"
    return None


def _is_any_in(paths: Iterable[str], folder: str) -> bool:
    return any(is_in(path, folder) for path in paths)


def is_in(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies in it; both are absolute and normal."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
