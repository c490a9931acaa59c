"""Find the control groups in which workers can be held: version 2, else version 1, else none.

Version 2 counts when the server's own group is delegated to it with memory and pids, version 1 when
its own groups of memory and pids are writable. Everything is made below one folder per server,
`bulkhead-<owner>`, in which the next server of that name kills and removes what it finds.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.sandbox import cgroupfs
from engine.sandbox.cgroup_v1 import CgroupsV1
from engine.sandbox.cgroup_v2 import LEAF, CgroupsV2, delegate, hand_down, is_delegated
from engine.sandbox.cgroupfs import Mount
from engine.sandbox.groups import Cgroups, Counters, Group, GroupUsage

__all__ = ["Cgroups", "Counters", "Group", "GroupUsage", "find"]

log = logging.getLogger(__name__)
_KILL_S = 2.0
_V1_NEEDED = {"memory", "pids"}
# First what ends left-overs that go on forking: by one stroke, then by letting them fork no more.
_V1_ORDER = ("unified", "pids", "memory", "cpu", "cpuacct")


def find(owner: str) -> Cgroups | None:
    """Return where groups can be made, after removing what a dead server of that name left.

    Args:
        owner: letters and digits that no other running server uses, as made from a data folder
            that one server at a time holds.

    Returns:
        None when this machine gives us no group that holds memory and processes.
    """
    found = cgroupfs.mounts(_proc("mountinfo"))
    member_of = cgroupfs.memberships(_proc("cgroup"))
    return _find_v2(found, member_of, owner) or _find_v1(found, member_of, owner)


def _proc(name: str) -> str:
    try:
        return Path("/proc/self", name).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _find_v2(found: Sequence[Mount], member_of: Mapping[str, str], owner: str) -> Cgroups | None:
    unified = _unified(found, member_of)
    path = member_of.get("", "")
    if unified is None:
        return None
    if unified.name == LEAF:  # we have moved there before
        unified, path = unified.parent, os.path.dirname(path)  # noqa: PTH120  a name, no path
    if not is_delegated(unified, path):
        return None
    try:
        controllers = delegate(unified)
        if controllers is None:
            return None
        folder = _own(unified, owner)
        return CgroupsV2(folder, hand_down(folder, set(controllers)))
    except OSError as error:
        log.info("control groups of version 2 are not ours: %s", error)
        return None


def _find_v1(found: Sequence[Mount], member_of: Mapping[str, str], owner: str) -> Cgroups | None:
    places = _places_v1(found, member_of)
    folders: dict[str, Path] = {}
    for hierarchy in _V1_ORDER:
        if hierarchy in places:
            with contextlib.suppress(OSError):
                folders[hierarchy] = _own(places[hierarchy], owner)
    if folders.keys() >= _V1_NEEDED:
        return CgroupsV1(folders)
    for folder in folders.values():
        cgroupfs.remove(folder)
    return None


def _places_v1(found: Sequence[Mount], member_of: Mapping[str, str]) -> dict[str, Path]:
    """Return the server's own groups by hierarchy."""
    places: dict[str, Path] = {}
    for mount in found:
        for controller in () if mount.is_v2 else mount.options.intersection(_V1_ORDER):
            place = cgroupfs.own_folder(mount, member_of.get(controller, ""))
            if place is not None:
                places[controller] = place
    unified = _unified(found, member_of)
    if unified is not None:
        places["unified"] = unified
        places.pop("cpuacct", None)
    return places


def _unified(found: Sequence[Mount], member_of: Mapping[str, str]) -> Path | None:
    for mount in found:
        if mount.is_v2 and "" in member_of:
            return cgroupfs.own_folder(mount, member_of[""])
    return None


def _own(place: Path, owner: str) -> Path:
    """Make the folder of this server's groups, without what the last one left in it."""
    folder = place / f"bulkhead-{owner}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for left_over in cgroupfs.groups_below(folder):
        with contextlib.suppress(OSError):
            cgroupfs.put(left_over, "pids.max", 0)
        if not (cgroupfs.end_all([left_over], _KILL_S) and cgroupfs.remove(left_over)):
            log.warning("a group of a server that has ended stays", extra={"group": str(left_over)})
    return folder
