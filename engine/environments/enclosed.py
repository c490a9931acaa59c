"""Installers behind the walls that hold plugins, and what each may see there.

An installer reads what it was given and the system's own files, writes to the folders that it was
given, and reaches the index alone. To build a package is to run its code, which is held likewise.
The program that puts the walls up runs with the server's own Python, which is always there.

Of the server's variables it gets those of uv and pip that lead to the index, and where the
certificates are; nothing in anybody's home is read, so an index and its password are said there.
Any thread may call; `stop` ends those that run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.environments.failures import InstallFailed
from engine.environments.hosts import index_folders, index_hosts
from engine.environments.installation import install_variables
from engine.environments.running import Command, Finished, OnLine, ignore
from engine.environments.walls import BUILDER, INSTALLER, PROBER, Task, Walls
from engine.folders import make_folder
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.sandbox.launch import SandboxUnavailable
from engine.sandbox.policy import ETC, SYSTEM, is_in
from engine.sandbox.sandbox import Sandbox
from engine.sandbox.tree import entries, give, opened
from engine.sandbox.uids import closed_folder

__all__ = ["EnclosedRun"]

_LIMITS = Limits(memory_bytes=2 << 30, processes=512)
_LABEL = "installer"
_PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
_START = "import sys; sys.path.insert(0, sys.argv[1]); from worker.execute import main; main()"
_LISTABLE = 0o755
_KEPT = re.compile(r"(UV|PIP)_.+|LANG|LC_ALL")
_CERTIFICATES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
)


class EnclosedRun:
    """Runs installers behind the sandbox of a server; see `Run`.

    Where the sandbox is off they run as any other program; where the machine has little of one,
    behind that, unless they run code of packages.

    Args:
        walls: that hold them.
        hosts: as `HOST` or `HOST:PORT`, which they may reach beside the index.
        limits: of one of them.
    """

    def __init__(self, walls: Walls, hosts: Sequence[str] = (), limits: Limits = _LIMITS) -> None:
        self._walls = walls
        self._hosts = index_hosts(os.environ, hosts)
        self._limits = limits

    @classmethod
    def unconfined(cls, scratch_dir: Path) -> EnclosedRun:
        """Return one without a wall."""
        return cls(Walls(Sandbox(), scratch_dir))

    def __call__(self, command: Command, on_line: OnLine = ignore) -> Finished:
        """Run a program; see `Run`."""
        if command.runs_packages:
            self._check_level()
        try:
            ending = self._walls.run(self._task(command), on_line)
        except InstallFailed as error:
            raise InstallFailed(f"the installer: {error}") from error
        except OSError as error:
            raise InstallFailed(f"the installer: {error}") from error
        if ending.excess is not None:
            raise InstallFailed(f"the installer {ending.excess}")
        return Finished(ending.status, ending.output)

    def stop(self) -> None:
        """End what runs, and refuse the rest; does not wait, may be repeated."""
        self._walls.stop()

    def _task(self, command: Command) -> Task:
        worker = _worker_package()
        interpreter, prefixes = _own_python()
        writes = _real(command.writes)
        user = _user(command)
        variables = install_variables()
        reads: tuple[str, ...] = ()
        if self._walls.sandbox.is_on:
            variables, certificates = _variables(variables)
            known = (*map(Path, certificates), *index_folders(variables), Path(command.argv[0]))
            reads = _real((*command.reads, *known))
        self._hand_over(writes, user)
        self._check_ways((*reads, *writes), user)
        real = _Links(command).real if self._walls.sandbox.is_on else str
        document: dict[str, object] = {"argv": [real(word) for word in command.argv]}
        if command.cwd is not None:
            document["cwd"] = os.path.realpath(command.cwd)
        hosts = self._hosts if command.network else ()
        return Task(
            label=_LABEL,
            user=user,
            command=(interpreter, "-I", "-S", "-c", _START, str(worker.parent)),
            document=document,
            runtime_dir=str(worker),
            environment_dir=str(worker),
            prefixes=prefixes,
            reads=tuple(path for path in reads if path not in writes),
            writes=writes,
            variables={**variables, **{n: real(text) for n, text in command.variables.items()}},
            grants=Grants(hosts=hosts, subprocess=True),
            limits=self._limits,
            timeout_s=command.timeout_s,
            moves_files=not command.only_looks,
        )

    def _check_level(self) -> None:
        """Let nothing foreign run with less around it than a plugin has."""
        self._walls.sandbox.check()
        layers = self._walls.sandbox.layers
        if layers.bwrap is None and layers.landlock_abi == 1:
            raise SandboxUnavailable(
                "code of packages is not run here, as building from source or changing an "
                "environment in place does: without bubblewrap, the Landlock of this kernel "
                "(ABI 1) would not let it move files; install bubblewrap"
            )

    def _hand_over(self, writes: Iterable[str], user: str) -> None:
        """Make the folders that are to be filled, and give them to the user who fills them."""
        uid = self._walls.uid(user)
        ours = {os.geteuid(), self._walls.uid(INSTALLER), self._walls.uid(BUILDER)}
        for path in writes:
            if any(is_in(path, folder) or is_in(folder, path) for folder in SYSTEM):
                raise InstallFailed(f"{path} belongs to the system, and is not given away")
            if not os.path.isdir(path):  # noqa: PTH112  texts, as policies hold them
                make_folder(Path(path))
                Path(path).chmod(_LISTABLE)
            if uid is None:
                continue
            with opened(path) as folder:
                owner = os.fstat(folder).st_uid
                if owner not in ours:
                    raise InstallFailed(
                        f"{path} belongs to user {owner}, neither to the server's nor to that of "
                        f"installers ({uid}); give it to the server's (chown -R)"
                    )
                give(folder, uid)
                _give_new(folder, uid)

    def _check_ways(self, paths: Iterable[str], user: str) -> None:
        uid = self._walls.uid(user)
        if uid is None or self._walls.sandbox.layers.bwrap is not None:
            return
        for path in paths:
            closed = closed_folder(path, uid)
            if closed is not None:
                raise InstallFailed(
                    f"without bubblewrap, user {uid} of installers cannot reach {path}, because "
                    f"{closed} is closed to others; install bubblewrap, or allow others to pass "
                    f"(chmod o+x {closed})"
                )


def _user(command: Command) -> str:
    if command.only_looks:
        return PROBER
    return BUILDER if command.runs_packages else INSTALLER


class _Links:
    """Says where the folders of a command really are: the links to them are not seen inside.

    Args:
        command: whose folders may be given by way of links, as below a data folder that is one.
    """

    def __init__(self, command: Command) -> None:
        folders = (path for path in (*command.reads, *command.writes) if path.is_dir())
        known = ((str(path), os.path.realpath(path)) for path in folders)
        self._known = {path: real for path, real in known if path != real}

    def real(self, text: str) -> str:
        """Return a text with the real paths in it."""
        for path, real in self._known.items():
            words = re.split(rf"{re.escape(path)}(?![^/\s,:])", text)
            text = real.join(words)
        return text


def _give_new(folder: int, uid: int) -> None:
    """Give away what the server has put into a folder since: asked for, and lists to be read."""
    for name, status in entries(folder):
        is_only_here = status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)
        if status.st_uid == os.geteuid() and is_only_here:
            with suppress(FileNotFoundError):  # another installer cleans its cache
                os.chown(name, uid, uid, dir_fd=folder, follow_symlinks=False)


def _real(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths))


def _worker_package() -> Path:
    found = importlib.util.find_spec("worker")
    if found is None or found.origin is None:
        raise InstallFailed("the package 'worker' is not installed beside 'engine'")
    return Path(found.origin).resolve().parent


def _own_python() -> tuple[str, tuple[str, ...]]:
    """Return the Python of this server outside of any environment, and its folders."""
    interpreter = os.path.realpath(sys.executable)
    prefixes = {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}
    if not any(is_in(interpreter, prefix) for prefix in prefixes):
        prefixes.add(str(Path(interpreter).parent.parent))
    return interpreter, tuple(sorted(prefixes))


def _variables(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables of a confined installer, and the paths in them that it has to see."""
    kept = {name: value for name, value in given.items() if _KEPT.fullmatch(name)}
    shown = []
    for name in _CERTIFICATES:
        if name in given and Path(given[name]).exists():
            kept[name] = os.path.realpath(given[name])
            if not any(is_in(kept[name], folder) for folder in (*SYSTEM, *ETC)):
                shown.append(kept[name])
    return {**kept, "PATH": _PROGRAMS}, shown
