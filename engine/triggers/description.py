"""What an environment holds and whom it serves, for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.model.lock import Switch

__all__ = ["Description"]


@dataclass(frozen=True, slots=True)
class Description:
    """An environment that is in service.

    Args:
        trigger_name: the trigger that was asked about; None for the shared environment.
        database: of that trigger; None for the shared environment.
        lock: id of the lock; None for an environment of the user's own.
        python: version of Python, as `3.11`.
        interpreter: path of the Python; empty when the environment is not there.
        state: `building`, `ready`, `broken`, or `missing` until it is needed.
        reason_broken: why it cannot be used; None when it can.
        size_bytes: of what it holds.
        packages: names to versions.
        requirements: what was asked for.
        used_by: database and name of each trigger that runs in it.
        history: what was in service, oldest first.
        path: of its folder.
    """

    trigger_name: str | None
    database: str | None
    lock: str | None
    python: str
    interpreter: str
    state: str
    reason_broken: str | None
    size_bytes: int
    packages: Mapping[str, str]
    requirements: tuple[str, ...]
    used_by: tuple[tuple[str, str], ...]
    history: tuple[Switch, ...]
    path: str

    def to_json(self) -> dict[str, object]:
        """Return it as clients see it; times are UTC nanoseconds."""
        return {
            "trigger_name": self.trigger_name,
            "database": self.database,
            "lock": self.lock,
            "python": self.python,
            "interpreter": self.interpreter,
            "state": self.state,
            "reason_broken": self.reason_broken,
            "size_bytes": self.size_bytes,
            "packages": dict(self.packages),
            "requirements": list(self.requirements),
            "used_by": [{"database": d, "trigger_name": t} for d, t in self.used_by],
            "history": [
                {"lock": s.lock_id, "at": s.at_ns, "reason": s.reason.value} for s in self.history
            ],
            "path": self.path,
        }
