"""User ids of triggers: spread over servers, and inside what a container maps."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox.uids import closed_folder, mapped_ranges, own_uid, uid_of

WHOLE = [[range(4_294_967_295)]] * 2
CONTAINER = [[range(65_536)]] * 2


@given(st.integers(1, 1 << 40), st.text("ab/ -é", max_size=40))
def test_ids_lie_in_the_reserved_range(trigger_id: int, server: str) -> None:
    uid = uid_of(trigger_id, server, WHOLE)

    assert uid is not None
    assert 0x7000_0000 <= uid < 0x8000_0000
    assert uid % 65_536 == trigger_id % 65_536


@given(st.integers(1, 40_000), st.text("ab/ -é", max_size=40))
def test_ids_in_a_container_are_those_that_it_has(trigger_id: int, server: str) -> None:
    uid = uid_of(trigger_id, server, CONTAINER)

    assert uid is not None
    assert 20_000 <= uid < 65_534


def test_triggers_of_one_server_have_different_ids() -> None:
    for ranges in (WHOLE, CONTAINER):
        uids = [uid_of(trigger_id, "/srv/db node", ranges) for trigger_id in range(1, 40_000)]

        assert len(set(uids)) == len(uids)


def test_servers_have_different_ids() -> None:
    uids = {uid_of(1, f"/srv/db{number} node", WHOLE) for number in range(50)}

    assert len(uids) > 45


@pytest.mark.parametrize(
    "ranges",
    [
        [[range(1)], [range(1)]],
        [[range(20_100)], [range(20_100)]],
        [[range(65_536)], [range(1)]],
        [[], []],
    ],
)
def test_there_is_no_id_where_too_few_are_mapped(ranges: list[list[range]]) -> None:
    assert uid_of(1, "server", ranges) is None


def test_maps_are_read_as_the_kernel_writes_them() -> None:
    text = "         0     100000      65536\n     70000       1000          1\n"

    assert mapped_ranges(text) == [range(65_536), range(70_000, 70_001)]


def test_only_root_has_ids_to_give() -> None:
    uid = own_uid(3, "/srv/db node")

    assert (uid is not None) == (os.geteuid() == 0)


def test_a_closed_folder_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "open" / "closed" / "inner").mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    (tmp_path / "open" / "closed").chmod(0o700)
    owner = tmp_path.stat().st_uid

    stranger = closed_folder(str(tmp_path / "open" / "closed" / "inner"), owner + 1)

    assert stranger == str(tmp_path / "open" / "closed")
    assert closed_folder(str(tmp_path / "open" / "closed" / "inner"), owner) is None
    assert closed_folder(str(tmp_path / "open" / "closed"), owner + 1) is None
    assert closed_folder(str(tmp_path / "missing" / "inner"), owner + 1) is None
