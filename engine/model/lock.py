"""Packages of plugins: what is asked for, and the exact list that it came to.

A lock is a requirements file in which every package has one version and its hashes, for one
version of Python on one kind of machine. It names no package index and carries no comments, so
that the same list is the same text, wherever it came from; its id is made of all three.
A pin says which lock a trigger runs on, and which it ran on before.

Pure; may be called from any thread.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

__all__ = [
    "ASKING_FILES",
    "MANIFEST_FILE",
    "MAX_HISTORY",
    "PROJECT_FILE",
    "REQUIREMENTS_FILE",
    "SHARED",
    "Asked",
    "EnvironmentChange",
    "Lock",
    "Pin",
    "Reason",
    "Switch",
    "change_between",
    "change_of",
    "lock_of",
    "packages_of",
]

# Stands where a trigger's id would, for the environment that all triggers without one share.
SHARED = 0
# In which a plugin asks, beside its code.
MANIFEST_FILE = "manifest.toml"
PROJECT_FILE = "pyproject.toml"
REQUIREMENTS_FILE = "requirements.txt"
ASKING_FILES = frozenset((MANIFEST_FILE, PROJECT_FILE, REQUIREMENTS_FILE))
# Of locks that a pin remembers: a few weeks of upgrades, and a bound for the catalog.
MAX_HISTORY = 10
_ID_CHARS = 16
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([^\s;\\]+)")
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plugin and its trigger ask for.

    Args:
        requirements: PEP 508 in one spelling, sorted, each once.
        python: PEP 440 specifiers of the version of Python; empty for any.
        sources: for each of the requirements where it stands, as `needs.py line 3`; says
            nothing about what is asked.
    """

    requirements: tuple[str, ...] = ()
    python: str = ""
    sources: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Lock:
    """An exact list of packages; see `lock_of`.

    Args:
        id: 16 hexadecimal digits.
        python: its version of Python, as `3.11`.
        platform: as the standard library names it, `linux-x86_64`.
        text: the requirements file.
    """

    id: str
    python: str
    platform: str
    text: str


class Reason(Enum):
    """Why a trigger went over to a lock."""

    CREATED = "created"
    UPDATED = "updated"
    UPGRADED = "upgraded"
    CODE_CHANGED = "code_changed"
    INSTALLED = "installed"
    ROLLED_BACK = "rolled_back"
    REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class Switch:
    """A lock came into service.

    Args:
        at_ns: when; UTC nanoseconds.
        asked: what for.
    """

    lock_id: str
    at_ns: int
    reason: Reason
    asked: Asked


@dataclass(frozen=True, slots=True)
class Pin:
    """The lock that is in service, and those before it.

    Args:
        history: oldest first; the last is the one in service. 1 to `MAX_HISTORY`.
    """

    history: tuple[Switch, ...]

    @property
    def lock_id(self) -> str:
        """The lock in service."""
        return self.history[-1].lock_id

    @property
    def asked(self) -> Asked:
        """What it is in service for."""
        return self.history[-1].asked

    @property
    def previous(self) -> str | None:
        """The lock that was in service before this one, for a way back."""
        earlier = (s.lock_id for s in reversed(self.history) if s.lock_id != self.lock_id)
        return next(earlier, None)

    def switched(self, switch: Switch) -> Pin:
        """Return the pin after a switch; one to the lock in service changes `asked` alone."""
        if switch.lock_id != self.lock_id:
            return Pin((*self.history, switch)[-MAX_HISTORY:])
        return Pin((*self.history[:-1], replace(self.history[-1], asked=switch.asked)))


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """What a change of an environment came to.

    Args:
        lock_id: the lock in service now; None where there is none.
        previous: the lock before; None where there was none.
        python: the version of Python now; empty where it is not known.
        added: names of packages to versions.
        removed: the same.
        changed: names to the versions before and now.
    """

    lock_id: str | None
    previous: str | None
    python: str
    added: Mapping[str, str]
    removed: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]

    def to_json(self) -> dict[str, object]:
        """Return the change as clients see it."""
        return {
            "lock": self.lock_id,
            "previous": self.previous,
            "python": self.python,
            "added": dict(self.added),
            "removed": dict(self.removed),
            "changed": {name: list(pair) for name, pair in self.changed.items()},
        }


def lock_of(python: str, platform: str, text: str) -> Lock:
    """Return the lock of a requirements file with hashes."""
    content = f"{python}\0{platform}\0{text}"
    return Lock(hashlib.sha256(content.encode()).hexdigest()[:_ID_CHARS], python, platform, text)


def packages_of(text: str) -> dict[str, str]:
    """Return the versions of the packages of a lock by their names, which are normalized."""
    found = (_PINNED.match(line) for line in text.splitlines())
    pairs = ((_SEPARATORS.sub("-", m[1]).lower(), m[2]) for m in found if m)
    return dict(sorted(pairs))


def change_between(before: Lock | None, after: Lock | None) -> EnvironmentChange:
    """Return what going from one lock to another means."""
    return change_of(
        packages_of(before.text) if before else {},
        packages_of(after.text) if after else {},
        lock_id=after.id if after else None,
        previous=before.id if before else None,
        python=after.python if after else "",
    )


def change_of(
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    lock_id: str | None = None,
    previous: str | None = None,
    python: str = "",
) -> EnvironmentChange:
    """Return the change of packages, names to versions; see `EnvironmentChange`."""
    return EnvironmentChange(
        lock_id=lock_id,
        previous=previous,
        python=python,
        added={name: after[name] for name in sorted(after.keys() - before.keys())},
        removed={name: before[name] for name in sorted(before.keys() - after.keys())},
        changed={
            name: (before[name], after[name])
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        },
    )
