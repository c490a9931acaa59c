"""The list of what a backup holds."""

import json
from dataclasses import replace

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from engine.upkeep.manifest import BackedUp, DamagedBackup, Manifest, checked_path

numbers = st.integers(0, 2**63)
checksums = st.integers(0, 2**32 - 1)
paths = st.text(st.characters(codec="utf-8", exclude_characters="/\0."), min_size=1).map(
    lambda name: f"node/{name}"
)
manifests = st.builds(
    Manifest,
    uuid=st.text(),
    node_id=st.text(),
    created_ns=numbers,
    end=numbers,
    files=st.lists(st.builds(BackedUp, paths, numbers, checksums), max_size=4).map(tuple),
)
SAMPLE = Manifest("u", "node0", 5, 7, (BackedUp("node/wal/1.wal", 10, 0xABC),))


@given(manifests)
def test_manifest_comes_back(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode()) == manifest


@given(manifests, checksums)
def test_checksums_do_not_change_the_length(manifest: Manifest, checksum: int) -> None:
    files = tuple(replace(file, crc32c=checksum) for file in manifest.files)

    assert len(replace(manifest, files=files).encode()) == len(manifest.encode())


@given(st.data())
def test_flipped_bit_is_seen(data: st.DataObject) -> None:
    raw = bytearray(SAMPLE.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))

    try:
        assert Manifest.decode(bytes(raw)) == SAMPLE  # as a space turned into a tab
    except DamagedBackup as error:
        assert "manifest.json" in str(error)  # noqa: PT017  any other error fails the test


@given(st.binary(max_size=100))
def test_garbage_is_no_manifest(raw: bytes) -> None:
    with pytest.raises(DamagedBackup):
        Manifest.decode(raw)


def test_manifest_of_a_later_format_says_so() -> None:
    inner = json.dumps({"format": 2})
    raw = json.dumps({"manifest": {"format": 2}, "crc32c": f"{crc32c(inner.encode()):08x}"})

    with pytest.raises(DamagedBackup, match="has format 2, and this version knows 1"):
        Manifest.decode(raw.encode())


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "node/../x", "../x", "other/x", "node//x", "node/./x", "node/x/", "node\0"],
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(DamagedBackup):
        checked_path(path)


def test_files_are_found_by_folder_and_counted() -> None:
    plugin = BackedUp("plugins/p.py", 3, 1)
    manifest = replace(SAMPLE, files=(*SAMPLE.files, plugin))

    assert manifest.below("plugins") == (plugin,)
    assert manifest.size_bytes == 13
