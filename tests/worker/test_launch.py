import os

import msgpack
import pytest

from worker.confinement import Confinement
from worker.launch import Launch, read_launch

FIELDS = {
    "endpoints": ["ipc:///x"],
    "token": b"t",
    "trigger": "t",
    "database": "db",
    "kind": "wal",
    "arguments": None,
    "plugin_dir": "/p",
    "site_packages": [],
    "runtime_dir": "/r",
    "environment": "/e",
    "mirror_limit": 1,
    "confinement": None,
}


def _descriptor(document: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, document)
    os.close(writer)
    return reader


def test_a_document_is_read_and_its_descriptor_closed() -> None:
    descriptor = _descriptor(msgpack.packb({**FIELDS, "from_the_future": 1}))

    assert read_launch(descriptor) == Launch(
        **{**FIELDS, "confinement": Confinement()}  # type: ignore[arg-type]
    )
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_document_without_a_field_is_refused_by_name() -> None:
    fields = {name: value for name, value in FIELDS.items() if name not in {"kind", "token"}}

    with pytest.raises(ValueError, match="lacks kind, token"):
        read_launch(_descriptor(msgpack.packb(fields)))
