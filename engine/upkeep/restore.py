"""Make the folder of a server out of a backup, while no server runs on it.

Everything is checked before anything is written. The node's folder is built beside its place and
renamed at the end, after the plugins, so that a restore that dies half-way leaves no half of a
server. One thread at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.catalog.codec import decode_snapshot
from engine.catalog.state import Catalog
from engine.errors import UserError
from engine.faultpoint import reach
from engine.folders import sync_folder
from engine.upkeep.manifest import NODE, PLUGINS, DamagedBackup, Manifest
from engine.upkeep.receive import copy_durably, read_manifest, sync_folders, verify

__all__ = ["RestoreRefused", "Restored", "restore"]

_SNAPSHOTS = f"{NODE}/catalog-snapshots/"


class RestoreRefused(UserError):
    """A backup is not restored over what is there."""

    code = "restore_refused"
    http_status = 409


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: the backup's manifest and its catalog."""

    manifest: Manifest
    catalog: Catalog


def restore(
    backup: Path, node_folder: Path, plugin_folder: Path | None, note: Callable[[int], None]
) -> Restored:
    """Restore a backup.

    Args:
        backup: its folder.
        node_folder: `<data folder>/<node id>`; must be empty or absent.
        plugin_folder: likewise; None leaves the plugins out.
        note: called with numbers of bytes that were checked or written.

    Raises:
        DamagedBackup: a file of the backup is missing or wrong; nothing was written.
        RestoreRefused: a folder is in use; nothing was written.
        OSError: a folder cannot be read or written.
    """
    manifest = read_manifest(backup)
    if not manifest.below(PLUGINS):
        plugin_folder = None
    for folder in (node_folder, plugin_folder):
        _refuse_used(folder)
    verify(backup, manifest, note)
    catalog = _catalog(backup, manifest)
    places = (
        {NODE: node_folder}
        if plugin_folder is None
        else {
            PLUGINS: plugin_folder,
            NODE: node_folder,
        }
    )
    built = {part: _build(backup, manifest, part, place, note) for part, place in places.items()}
    for part, place in places.items():
        _put(built[part], place)
        reach("restore.part_in_place")
    return Restored(manifest, catalog)


def _refuse_used(folder: Path | None) -> None:
    if folder is None or not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise RestoreRefused(
            f"{folder} is not empty, and nothing is restored over what is there; "
            "move it away, or choose another place"
        )


def _catalog(backup: Path, manifest: Manifest) -> Catalog:
    snapshots = [file.path for file in manifest.files if file.path.startswith(_SNAPSHOTS)]
    if len(snapshots) != 1:
        raise DamagedBackup(f"the backup has {len(snapshots)} catalogs, and not one")
    try:
        return decode_snapshot((backup / snapshots[0]).read_bytes())
    except ValueError as error:
        raise DamagedBackup(f"{snapshots[0]} is damaged: {error}") from error


def _build(
    backup: Path, manifest: Manifest, part: str, place: Path, note: Callable[[int], None]
) -> Path:
    """Copy a part of the backup to a folder beside its place, and return that."""
    place.parent.mkdir(parents=True, exist_ok=True)
    building = place.with_name(f".restoring-{place.name}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    for file in manifest.below(part):
        target = building / PurePosixPath(file.path).relative_to(part)
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy_durably(backup / file.path, target, note) != file.crc32c:
            raise DamagedBackup(f"{file.path} has changed while it was read")
    sync_folders(building)
    reach("restore.part_copied")
    return building


def _put(built: Path, place: Path) -> None:
    if place.exists():
        place.rmdir()
    built.rename(place)
    sync_folder(place.parent)
