"""What is written to groups of version 2, against a folder that looks like one."""

from pathlib import Path

import pytest

from engine.model.limits import Limits
from engine.sandbox.cgroup_v2 import LEAF, CgroupsV2, GroupV2, delegate

FILES = (
    "cgroup.kill",
    "cgroup.procs",
    "cpu.max",
    "memory.max",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
)
FULL = Limits(memory_bytes=512 << 20, cpu=0.2, processes=64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a group whose files are there, as the kernel makes them with the folder."""
    for name in FILES:
        (tmp_path / name).write_text("")
    return tmp_path


def written(folder: Path) -> dict[str, str]:
    return {name: text for name in FILES if (text := (folder / name).read_text())}


def test_limits_are_written_as_the_kernel_reads_them(folder: Path) -> None:
    GroupV2(folder, FULL).set_up()

    assert written(folder) == {
        "cpu.max": "20000 100000",
        "memory.max": str(512 << 20),
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "pids.max": "66",
    }


def test_what_is_not_limited_is_not_written(folder: Path) -> None:
    GroupV2(folder, Limits()).set_up()

    assert written(folder) == {}


def test_kernel_without_swap_is_no_obstacle(folder: Path) -> None:
    (folder / "memory.swap.max").unlink()

    GroupV2(folder, Limits(memory_bytes=64 << 20)).set_up()

    assert (folder / "memory.max").read_text() == str(64 << 20)


def test_process_is_added_by_its_number(folder: Path) -> None:
    GroupV2(folder, FULL).add(4711)

    assert (folder / "cgroup.procs").read_text() == "4711"


def test_kill_lets_nothing_start_and_is_one_stroke(folder: Path) -> None:
    assert GroupV2(folder, FULL).kill()

    assert written(folder) == {"cgroup.kill": "1", "pids.max": "0"}


def test_usage_is_read_from_the_counters(folder: Path) -> None:
    (folder / "memory.current").write_text("1024\n")
    (folder / "memory.peak").write_text("4096\n")
    (folder / "pids.current").write_text("3\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    group = GroupV2(folder, FULL)

    usage, counters = group.usage(), group.counters()

    assert (usage.memory_bytes, usage.peak_memory_bytes) == (1024, 4096)
    assert (usage.cpu_s, usage.processes) == (1.5, 3)
    assert (counters.cpu_s(), counters.peak_memory_bytes()) == (1.5, 4096)
    counters.close()


def test_kernel_that_counts_no_peak_leaves_it_open(folder: Path) -> None:
    (folder / "cpu.stat").write_text("usage_usec 7\n")
    group = GroupV2(folder, FULL)

    counters = group.counters()

    assert counters.peak_memory_bytes() is None
    assert group.usage().peak_memory_bytes is None
    counters.close()


@pytest.mark.parametrize(
    ("memory", "pids", "over"),
    [
        ("oom 1\noom_kill 1\n", "max 0\n", "memory"),
        ("oom 0\noom_kill 1\n", "max 0\n", None),  # the machine's memory, not the group's
        ("oom 0\noom_kill 0\n", "max 4\n", "processes"),
    ],
)
def test_events_say_which_limit_did_harm(
    folder: Path, memory: str, pids: str, over: str | None
) -> None:
    (folder / "memory.events").write_text(memory)
    (folder / "pids.events").write_text(pids)

    assert GroupV2(folder, FULL).was_over() == over


def test_server_hands_controllers_down_after_moving_to_a_leaf(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    (tmp_path / "cgroup.type").write_text("domain\n")
    (tmp_path / "cgroup.procs").write_text("4711\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / LEAF).mkdir()
    (tmp_path / LEAF / "cgroup.procs").write_text("")

    controllers = delegate(tmp_path)

    assert controllers == {"cpu", "memory", "pids"}
    assert (tmp_path / LEAF / "cgroup.procs").read_text() == "4711"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"  # the last of three


def test_group_without_memory_or_pids_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")

    assert delegate(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup.controllers"]


def test_group_that_cannot_be_set_up_leaves_no_folder(tmp_path: Path) -> None:
    cgroups = CgroupsV2(tmp_path, frozenset({"memory", "pids"}))

    with pytest.raises(OSError, match=r"memory\.max"):
        cgroups.make("worker", FULL)  # in a plain folder no files appear

    assert list(tmp_path.iterdir()) == []
    assert cgroups.holds == {"memory", "processes"}
