"""What this machine enforces of what the sandbox promises, promise by promise.

The probe (`engine.sandbox.probe`) finds out by trying; this module says it in words.

    A    namespaces, Landlock, seccomp and cgroups
    A-   the same without cgroups: sums over several processes are watched, not held
    B    seccomp, and one of namespaces and Landlock
    C    less

Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from engine.sandbox.policy import Layers

__all__ = ["ATTACKS", "Level", "Promise", "Report", "Trial", "level_of", "report_of", "unconfined"]


class Level(Enum):
    """How much holds; the best first."""

    A = "A"
    A_MINUS = "A-"
    B = "B"
    C = "C"

    @property
    def may_run_plugins(self) -> bool:
        """Whether plugins are run where a sandbox is required."""
        return self is not Level.C


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise.

    Args:
        text: what a plugin cannot do, or what is bounded.
        is_enforced: whether that holds here.
        by: what enforces it; empty when nothing does.
        why_not: why nothing does, or what is left open; empty otherwise.
    """

    text: str
    is_enforced: bool
    by: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All promises, and the level that they make.

    Args:
        level: of the machine.
        advice: what to install or allow for a better level; empty at level A.
    """

    level: Level
    promises: tuple[Promise, ...]
    advice: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[Promise, ...]:
        """The promises that are not enforced."""
        return tuple(promise for promise in self.promises if not promise.is_enforced)


@dataclass(frozen=True, slots=True)
class Trial:
    """What the probe saw.

    Args:
        layers: those that could be put on.
        escapes: by attack, what it got hold of; an attack that failed has an empty text.
        missing: by layer (`bwrap`, `landlock`, `seccomp`, `cgroup`, `own_uid`) and for `cpu`, which
            not all control groups hold, why it is not there; `start` when nothing could be
            started behind those that are left.
    """

    layers: Layers
    escapes: Mapping[str, str]
    missing: Mapping[str, str]


_ADVICE = {
    "bwrap": "install bubblewrap (apt install bubblewrap) and allow unprivileged user namespaces",
    "landlock": "run a kernel with Landlock (5.13 or newer, with landlock in the list lsm=)",
    "seccomp": "run on Linux on x86_64 or aarch64 with seccomp filters",
    "cgroup": "let the server have cgroups of its own (systemd: Delegate=yes)",
}

# Text, the attacks that try it, and the layers that can hold it, the strongest first.
_PROMISES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("reads only files it was granted", ("read_file",), ("bwrap", "landlock")),
    ("writes only to its own folder and tmp", ("write_file",), ("bwrap", "landlock")),
    ("sees no other process", ("see_process",), ("bwrap", "landlock")),
    ("signals no other process", ("signal_process",), ("bwrap", "landlock", "own_uid")),
    ("traces no other process", ("trace_process",), ("seccomp", "bwrap", "landlock")),
    ("reaches no network it was not granted", ("connect_tcp",), ("seccomp", "bwrap")),
    ("reaches no unix socket but its own", ("connect_unix", "connect_abstract"), ("seccomp",)),
    ("reaches no rare system call", ("rare_call", "nested_namespace"), ("seccomp",)),
    ("starts no program", ("start_program",), ("seccomp",)),
    ("has no rights of the server's user", ("be_root",), ("own_uid", "seccomp")),
    ("has bounded memory", ("much_memory",), ("cgroup",)),
    ("has a bounded number of threads and processes", ("many_threads",), ("cgroup", "rlimit")),
    ("has a bounded tmp, in bytes and in files", ("large_tmp",), ("bwrap",)),
)
# By name, what the probe tries.
ATTACKS = frozenset(attack for _, attacks, _ in _PROMISES for attack in attacks)
# Attacks on what is only bounded: whoever succeeds has harmed the machine and learned nothing.
_BOUNDS = {"be_root", "much_memory", "many_threads", "large_tmp"}
_UNTRIED = "was not tried"
_NAMES = {
    "bwrap": "namespaces (bubblewrap)",
    "seccomp": "seccomp",
    "own_uid": "a user id of its own",
    "cgroup": "cgroup",
    "rlimit": "resource limits",
}


def level_of(layers: Layers) -> Level:
    """Return the level that layers make."""
    walls = (layers.bwrap is not None) + bool(layers.landlock_abi)
    if not layers.seccomp or not walls:
        return Level.C
    if walls == 1:
        return Level.B
    return Level.A if layers.cgroup is not None else Level.A_MINUS


def report_of(trial: Trial) -> Report:
    """Put what the probe saw into words; layers that let an attack through count for nothing."""
    is_held = not any(trial.escapes.get(name, _UNTRIED) for name in ATTACKS - _BOUNDS)
    level = level_of(trial.layers) if is_held else Level.C
    promises = (*(_promise(trial, *each) for each in _PROMISES), *_by_the_server(trial))
    return Report(level, promises, tuple(_advice(trial.missing)))


def unconfined(reason: str) -> Report:
    """Return the report of a server whose plugins are not confined at all."""
    held = [Promise(text, False, "", reason) for text, _, _ in _PROMISES]
    return Report(Level.C, (*held, _RUN_TIME), ())


def _advice(missing: Mapping[str, str]) -> Iterator[str]:
    for name, why in missing.items():
        if name == "start":
            yield why
        elif name in _ADVICE:
            yield _ADVICE[name]


def _promise(
    trial: Trial, text: str, attacks: tuple[str, ...], holders: tuple[str, ...]
) -> Promise:
    untried = ": ".join([_UNTRIED, *_start_failure(trial)])
    escapes = [trial.escapes.get(attack, untried) for attack in attacks]
    got = "; ".join(dict.fromkeys(escape for escape in escapes if escape))
    by = ", ".join(_named(trial.layers, name) for name in holders if _has(trial.layers, name))
    if got:
        gone = [
            f"{_named(trial.layers, n)}: {trial.missing[n]}" for n in holders if n in trial.missing
        ]
        return Promise(text, False, "", "; ".join([got, *gone]))
    if "connect_tcp" in attacks and trial.layers.bwrap is None:
        by += ", which allows no socket; a plugin with a network grant is not held to its hosts"
    return Promise(text, True, by or "the kernel's own rules")


def _start_failure(trial: Trial) -> list[str]:
    return [trial.missing["start"]] if "start" in trial.missing else []


def _by_the_server(trial: Trial) -> tuple[Promise, ...]:
    cgroup = trial.layers.cgroup is not None
    is_looked_at = trial.layers != Layers()
    return (
        _processor(trial),
        Promise(
            "has a bounded folder of its own",
            is_looked_at,
            "the server, which looks at it regularly" if is_looked_at else "",
            "" if is_looked_at else "it has none, but the plugin folder itself",
        ),
        Promise(
            "leaves nothing behind that runs",
            trial.layers.bwrap is not None or cgroup,
            ", ".join(
                _named(trial.layers, name)
                for name in ("bwrap", "cgroup")
                if _has(trial.layers, name)
            ),
            "" if trial.layers.bwrap is not None or cgroup else "only its process group is ended",
        ),
        _RUN_TIME,
    )


def _processor(trial: Trial) -> Promise:
    text = "has a bounded share of the CPU"
    if trial.layers.cgroup is None:
        why_not = "; ".join([trial.missing.get("cgroup", "not used"), *_start_failure(trial)])
        return Promise(text, False, "", f"no cgroup: {why_not}")
    if "cpu" in trial.missing:
        return Promise(text, False, "", trial.missing["cpu"])
    return Promise(text, True, "cgroup, for triggers with the limit cpu")


_RUN_TIME = Promise("has bounded time for a run", True, "the server, which ends the process")


def _has(layers: Layers, name: str) -> bool:
    match name:
        case "bwrap":
            return layers.bwrap is not None
        case "landlock":
            return bool(layers.landlock_abi)
        case "seccomp":
            return layers.seccomp
        case "cgroup":
            return layers.cgroup is not None
        case "own_uid":
            return layers.own_uid
        case _:
            return True


def _named(layers: Layers, name: str) -> str:
    return f"Landlock (ABI {layers.landlock_abi})" if name == "landlock" else _NAMES[name]
