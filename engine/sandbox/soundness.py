"""Why a worker must not be started as it was ordered: what the launcher looks at before it acts.

Any thread may call.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from engine.sandbox.policy import Layers, Policy, objection
from engine.sandbox.uids import closed_folder

__all__ = ["why_not_start"]

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def why_not_start(policy: Policy, layers: Layers, program: str) -> str | None:
    """Return why a worker must not be started, None when it may.

    Args:
        policy: what it may see.
        layers: what confines it; whatever is ordered without any is not our concern.
        program: that it is started with.
    """
    if layers == Layers():
        return None
    reason = objection(policy) or objection(_real(policy)) or _moved(policy)
    if reason is None and layers.bwrap is not None:
        reason = _untrusted(layers.bwrap)
    if reason is None and policy.uid is None and _is_root():
        reason = "a server that runs as root must give its workers a user id of their own"
    if reason is None and layers.bwrap is None and policy.uid is not None:
        reason = _unreachable(policy, program, policy.uid)
    return reason


def _real(policy: Policy) -> Policy:
    """Return the same policy with the server's folders where links lead to."""
    return replace(
        policy,
        plugin_dir=os.path.realpath(policy.plugin_dir),
        private_dir=os.path.realpath(policy.private_dir),
        sockets_dir=os.path.realpath(policy.sockets_dir),
        runtime_dir=os.path.realpath(policy.runtime_dir),
        environment_dir=os.path.realpath(policy.environment_dir),
    )


def _moved(policy: Policy) -> str | None:
    """Granted paths are bound as they were granted: a link in one may be somebody's by now."""
    for path in (*policy.read, *policy.write):
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as error:
            return f"the granted path {path} cannot be used: {error.strerror}"
        if real != path:
            return f"the granted path {path} is or holds a symbolic link; grant {real} instead"
    return None


def _untrusted(program: str) -> str | None:
    try:
        status = Path(program).stat()
    except OSError as error:
        return f"{program}: {error.strerror}; install bubblewrap"
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_WRITE:
        return f"{program} can be changed by other users"
    return None


def _is_root() -> bool:
    """Tell whether we are the machine's root, and not that of a container of our own."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[:2] == ["0", "0"]


def _unreachable(policy: Policy, program: str, uid: int) -> str | None:
    views = (entry.host_path for entry in policy.view)
    needed = (program, policy.runtime_dir, policy.environment_dir, policy.private_dir)
    for path in (*needed, policy.sockets_dir, *policy.prefixes, *views):
        closed = closed_folder(path, uid)
        if closed is not None:
            return (
                f"without bubblewrap, user id {uid} cannot reach {path}, because {closed} is closed"
                f" to others; install bubblewrap, or allow others to pass (chmod o+x {closed})"
            )
    return None
