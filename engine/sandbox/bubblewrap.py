"""The arguments of bubblewrap for one worker.

The worker's root is an empty tmpfs that is filled with binds and made read-only last. Mounts are
sorted by their destination, so that a folder is there before what lies in it. Folders on the way
to a destination are made anew with mode 0755, whatever they are on the host: an interpreter may
lie below somebody's closed home. They are made in the worker's own file systems only, and never
below a folder of the host's that is bound, where bubblewrap would make them on the host.

`/dev` is built from single devices. bubblewrap's own would be one more file system without a
limit, and its terminals need a second user namespace in which the worker could no longer limit
the inodes of its tmpfs.

Two capabilities let the worker's first lines change to the worker's user id, the third lets them
limit inodes; they drop all three before they read anything that is not ours.
Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from engine.sandbox.policy import DEVICES, ETC, PROCESSORS, SYSTEM, Policy, is_in

__all__ = ["arguments", "made_up_files"]

_NAMESPACES = (
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
_HOST_NAME = "bulkhead"
_BATTERIES = "/sys/class/power_supply"
_DEVICE_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}


@dataclass(frozen=True, slots=True)
class _Mount:
    """One destination and how it is filled.

    Args:
        target: where.
        words: arguments of bubblewrap.
        is_bind: whether it shows a folder or file of the host's, so that nothing is made in it.
        at_home: whether it is seen where it lies on the host.
        is_writable: whether it is a bind through which the host's files can be changed.
    """

    target: str
    words: tuple[str, ...]
    is_bind: bool = False
    at_home: bool = False
    is_writable: bool = False


def arguments(
    policy: Policy,
    made_up: Mapping[str, int],
    links: Mapping[str, str],
    held: Mapping[str, int] | None = None,
) -> list[str]:
    """Return all arguments but the command.

    Args:
        policy: of the worker.
        made_up: descriptors that hold the content of made-up files, by path.
        links: those system folders that are symbolic links here, and where they lead.
        held: descriptors of granted paths, which are bound whatever their path means by then.
    """
    mounts = _sorted_mounts(_mounts(policy, made_up, links, held or {}))
    return [
        *("--die-with-parent", "--new-session", *_NAMESPACES, "--hostname", _HOST_NAME),
        *_identity(policy),
        *_variables(policy.variables),
        *_filled(mounts),
        # Its own folder is closed to root without capabilities: the worker goes there itself.
        *("--chdir", "/", "--remount-ro", "/"),
    ]


def made_up_files(uid: int, gid: int) -> dict[str, bytes]:
    """Return what stands in /etc in place of the host's files, by path.

    Args:
        uid: user id of the worker.
        gid: its group id.
    """
    user = f"bulkhead:x:{uid}:{gid}:a plugin:/tmp:/usr/sbin/nologin\n"
    root = "root:x:0:0:root:/:/usr/sbin/nologin\n"
    texts = {
        "/etc/passwd": root + user if uid else root,
        "/etc/group": f"root:x:0:\nbulkhead:x:{gid}:\n" if gid else "root:x:0:\n",
        "/etc/hosts": f"127.0.0.1 localhost {_HOST_NAME}\n::1 localhost\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    return {path: text.encode() for path, text in texts.items()}


def _identity(policy: Policy) -> Iterator[str]:
    yield from ("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN")
    if policy.uid is None:
        yield "--unshare-user"
        return
    yield from ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")


def _variables(variables: Mapping[str, str]) -> Iterator[str]:
    yield "--clearenv"
    for name, value in variables.items():
        yield from ("--setenv", name, value)


def _mounts(
    policy: Policy,
    made_up: Mapping[str, int],
    links: Mapping[str, str],
    held: Mapping[str, int],
) -> Iterator[_Mount]:
    yield from (_system(path, links) for path in SYSTEM)
    yield from (_at_home(path, "--ro-bind-try") for path in ETC)
    yield from (_file(path, descriptor) for path, descriptor in made_up.items())
    yield from _kernel()
    yield from (_tmpfs(path, policy.tmp_bytes) for path in ("/tmp", "/dev/shm"))  # noqa: S108
    yield from (_at_home(path) for path in (*policy.prefixes, policy.runtime_dir))
    yield _at_home(policy.sockets_dir)
    yield _at_home(policy.environment_dir)
    if policy.environment_name:
        # No link: the way up from there leads to the plugin folder.
        words = ("--ro-bind", policy.environment_dir, policy.environment_name)
        yield _Mount(policy.environment_name, words, is_bind=True)
    for entry in policy.view:
        # Files of the view may go between the look at the folder and now.
        option = "--bind-try" if entry.is_writable else "--ro-bind-try"
        yield _at_home(entry.host_path, option)
    yield from (_granted(path, "--ro-bind", held) for path in policy.read)
    yield from (_granted(path, "--bind", held) for path in policy.write)
    yield _at_home(policy.private_dir, "--bind")


def _kernel() -> Iterator[_Mount]:
    yield _Mount("/proc", ("--proc", "/proc"))
    yield from (_Mount(path, ("--dev-bind", path, path), is_bind=True) for path in DEVICES)
    # psutil and libraries of linear algebra ask it how many processors of what kind there are.
    yield _at_home(PROCESSORS, "--ro-bind-try")
    # psutil lists it without asking whether it is there; nothing is in it.
    yield _Mount(_BATTERIES, ("--perms", "0755", "--dir", _BATTERIES))
    for path, target in _DEVICE_LINKS.items():
        yield _Mount(path, ("--symlink", target, path))


def _system(path: str, links: Mapping[str, str]) -> _Mount:
    if path in links:
        return _Mount(path, ("--symlink", links[path], path))
    return _at_home(path, "--ro-bind-try")


def _file(path: str, descriptor: int) -> _Mount:
    return _Mount(path, ("--perms", "0644", "--file", str(descriptor), path))


def _tmpfs(path: str, size_bytes: int) -> _Mount:
    return _Mount(path, ("--perms", "1777", "--size", str(size_bytes), "--tmpfs", path))


def _at_home(path: str, option: str = "--ro-bind") -> _Mount:
    is_writable = not option.startswith("--ro")
    return _Mount(path, (option, path, path), True, True, is_writable)


def _granted(path: str, option: str, held: Mapping[str, int]) -> _Mount:
    mount = _at_home(path, option)
    if path not in held:
        return mount
    return replace(mount, words=(f"{option}-fd", str(held[path]), path))


def _sorted_mounts(mounts: Iterable[_Mount]) -> list[_Mount]:
    """Return the mounts from the root down, without those that another one shows already."""
    by_target = {mount.target: mount for mount in mounts}  # of equal ones the writable is last
    kept: list[_Mount] = []
    for mount in sorted(by_target.values(), key=lambda m: m.target.split("/")):
        if not any(_shows(above, mount) for above in kept):
            kept.append(mount)
    return kept


def _shows(above: _Mount, mount: _Mount) -> bool:
    is_at_home = above.at_home and mount.at_home
    suffices = above.is_writable or not mount.is_writable
    return is_at_home and suffices and is_in(mount.target, above.target)


def _filled(mounts: Iterable[_Mount]) -> Iterator[str]:
    made: set[str] = set()
    binds: list[str] = []
    for mount in mounts:
        for folder in _folders_above(mount.target):
            if folder not in made and not any(is_in(folder, bind) for bind in binds):
                yield from ("--perms", "0755", "--dir", folder)
            made.add(folder)
        yield from mount.words
        made.add(mount.target)
        if mount.is_bind:
            binds.append(mount.target)


def _folders_above(path: str) -> Iterator[str]:
    names = path.split("/")
    return ("/".join(names[:count]) for count in range(2, len(names)))
