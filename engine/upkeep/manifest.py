"""The list of what a backup holds, as the file `manifest.json` that ends it.

    {"manifest": {"format": 1, "uuid": text, "node_id": text, "created_ns": n, "end": n,
                  "files": [[path, size in bytes, crc32c as 8 hex digits], ...]},
     "crc32c": 8 hex digits over the JSON of "manifest" as it stands there}

    node/catalog-snapshots/<20 digits>.json   the catalog
    node/wal/<20 digits>.wal                  the log, cut at the moment of the backup
    node/parquet/...                          rows in files
    node/fetched/...                          copies of plugins that were fetched
    plugins/...                               the plugin folder

A folder without a good manifest is no backup. Checksums have a fixed width, so that the size of a
manifest is known before they are. Pure; any thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from crc32c import crc32c

from engine.errors import EngineFault

__all__ = ["MANIFEST", "NODE", "PLUGINS", "BackedUp", "DamagedBackup", "Manifest", "checked_path"]

MANIFEST = "manifest.json"
NODE = "node"
PLUGINS = "plugins"
_FORMAT = 1
_CRC_DIGITS = 8


class DamagedBackup(EngineFault):
    """A backup is not whole, or not what the server has sent."""

    code = "damaged_backup"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A file of a backup.

    Args:
        path: below the backup's folder, with forward slashes.
        size_bytes: of the file.
        crc32c: of what it must hold.
    """

    path: str
    size_bytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, the manifest itself excepted.

    Args:
        uuid: of the installation.
        node_id: of the server.
        created_ns: the moment that the backup shows, UTC nanoseconds.
        end: of the log at that moment.
        files: in the order in which they were sent.
    """

    uuid: str
    node_id: str
    created_ns: int
    end: int
    files: tuple[BackedUp, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)

    def below(self, folder: str) -> tuple[BackedUp, ...]:
        """Return the files below a folder of the backup."""
        return tuple(file for file in self.files if file.path.startswith(f"{folder}/"))

    def encode(self) -> bytes:
        """Return the content of the file."""
        inner = json.dumps(
            {
                "format": _FORMAT,
                "uuid": self.uuid,
                "node_id": self.node_id,
                "created_ns": self.created_ns,
                "end": self.end,
                "files": [[f.path, f.size_bytes, _hex(f.crc32c)] for f in self.files],
            }
        )
        checksum = _hex(crc32c(inner.encode()))
        return f'{{"manifest": {inner}, "crc32c": "{checksum}"}}\n'.encode()

    @classmethod
    def decode(cls, content: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            DamagedBackup: it is damaged, of another format, or names files outside of the backup.
        """
        try:
            outer = json.loads(content)
            inner = outer["manifest"]
            if int(outer["crc32c"], 16) != crc32c(json.dumps(inner).encode()):
                raise DamagedBackup(f"{MANIFEST} is damaged: its checksum is wrong")
            if inner["format"] != _FORMAT:
                raise DamagedBackup(
                    f"{MANIFEST} has format {inner['format']}, and this version knows {_FORMAT}; "
                    "use the version that made the backup"
                )
            return cls(
                uuid=str(inner["uuid"]),
                node_id=str(inner["node_id"]),
                created_ns=int(inner["created_ns"]),
                end=int(inner["end"]),
                files=_files(inner["files"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedBackup(f"{MANIFEST} is damaged: {error}") from error


def checked_path(path: str) -> str:
    """Return the path of a file of a backup if it stays inside.

    Raises:
        DamagedBackup: it leads elsewhere.
    """
    parts = PurePosixPath(path).parts
    is_inside = path != "" and parts[0] in {NODE, PLUGINS} and ".." not in parts
    if not is_inside or "\0" in path or path != "/".join(parts):
        raise DamagedBackup(f"{path!r} is no file of a backup")
    return path


def _files(listed: Sequence[tuple[str, int, str]]) -> tuple[BackedUp, ...]:
    return tuple(
        BackedUp(checked_path(path), int(size), int(checksum, 16))
        for path, size, checksum in listed
    )


def _hex(checksum: int) -> str:
    return f"{checksum:0{_CRC_DIGITS}x}"
