"""Where groups are mounted, as the kernel writes it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox import cgroupfs
from engine.sandbox.cgroupfs import Mount, own_folder

HYBRID = """\
23 1 0:20 / /sys rw - sysfs sysfs rw
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/with\\040space rw,relatime - cgroup2 cgroup2 rw
"""


def test_hierarchies_are_found_with_their_controllers() -> None:
    cpu, memory, unified = cgroupfs.mounts(HYBRID)

    assert {"cpu", "cpuacct"} < cpu.options
    assert (memory.root, memory.is_v2) == ("/docker/abc", False)
    assert (unified.point, unified.is_v2) == (Path("/sys/fs/cgroup/with space"), True)


def test_memberships_are_by_controller() -> None:
    text = "9:name=systemd:/\n4:cpu,cpuacct:/a\n0::/user.slice/x:y\n"

    assert cgroupfs.memberships(text) == {
        "name=systemd": "/",
        "cpu": "/a",
        "cpuacct": "/a",
        "": "/user.slice/x:y",
    }


@pytest.mark.parametrize(
    ("root", "path", "folder"),
    [
        ("/", "/", Path("/m")),
        ("/", "/a/b", Path("/m/a/b")),
        ("/docker/abc", "/docker/abc", Path("/m")),
        ("/docker/abc", "/docker/abc/x", Path("/m/x")),
        ("/docker/abc", "/docker/abd", None),
        ("/", "/../outside", None),
        ("/", "", None),
    ],
)
def test_own_folder_is_below_the_mount_or_unknown(
    root: str, path: str, folder: Path | None
) -> None:
    assert own_folder(Mount(Path("/m"), root, is_v2=True, options=frozenset()), path) == folder


@given(st.text(alphabet="0123456789max \n-x", max_size=12))
def test_number_is_a_number_or_unknown_whatever_the_file_says(text: str) -> None:
    folder = Path("/dev/shm")
    path = folder / "bulkhead-test-number"
    path.write_text(text)

    found = cgroupfs.number(folder, path.name)
    path.unlink()

    assert found == (int(text) if text.strip().isdigit() else None)


@given(st.text(max_size=300))
def test_name_of_a_group_is_one_short_folder_name(text: str) -> None:
    name = cgroupfs.group_name(text, 7)

    assert Path("/groups", name).parent == Path("/groups")
    assert len(name.encode()) < 100
    assert name.endswith("-7")
    assert not name.startswith(".")


def test_writing_makes_no_file_that_the_kernel_has_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cgroupfs.put(tmp_path, "memory.max", 1)

    assert list(tmp_path.iterdir()) == []


def test_group_that_is_gone_reads_as_empty(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    assert cgroupfs.pids_in(gone) == []
    assert cgroupfs.groups_below(gone) == []
    assert cgroupfs.keyed(gone, "memory.events", "oom_kill") is None
    assert cgroupfs.remove(gone)
