"""What the engine tells a process at its start, read once from an inherited descriptor.

The document is a msgpack map. It comes by a descriptor because arguments and environment of a
process can be seen by others, and it holds the token by which the engine knows its worker.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgpack

from worker.confinement import Confinement

__all__ = ["Launch", "read_launch"]

_MAX_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Launch:
    """The launch document.

    Args:
        endpoints: one per lane.
        token: for Hello.
        trigger: its name.
        database: the trigger's own.
        kind: `wal`, `schedule` or `request`.
        arguments: the trigger's, None when it was created without.
        plugin_dir: where plugins lie.
        site_packages: of the plugin's environment, first one first.
        environment: the virtual environment of the plugin.
        runtime_dir: the folder this process was started from.
        mirror_limit: bytes of one mirrored cache value.
        confinement: what this process is to be confined by.
    """

    endpoints: list[str]
    token: bytes
    trigger: str
    database: str
    kind: str
    arguments: dict[str, str] | None
    plugin_dir: str
    site_packages: list[str]
    environment: str
    runtime_dir: str
    mirror_limit: int
    confinement: Confinement


def read_launch(descriptor: int) -> Launch:
    """Read the document to its end and close the descriptor.

    Raises:
        ValueError: it is no launch document.
    """
    document = bytearray()
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        document += chunk
        if len(document) > _MAX_BYTES:
            raise ValueError("the launch document is too large")
    os.close(descriptor)
    fields = msgpack.unpackb(bytes(document))
    missing = set(Launch.__slots__) - set(fields)
    if missing:
        raise ValueError(f"the launch document lacks {', '.join(sorted(missing))}")
    fields["confinement"] = Confinement.from_fields(fields["confinement"])
    return Launch(**{name: fields[name] for name in Launch.__slots__})
