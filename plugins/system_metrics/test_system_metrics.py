"""Tests of system_metrics."""

from datetime import datetime

import pytest

NOW = datetime(2026, 1, 1, 12, 0, 0)  # noqa: DTZ001 - as plugins get it
STAT = "cpu  100 10 50 800 40 0 0 0 30 0\ncpu0 100 10 50 800 40 0 0 0 30 0\n"
MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n"
DEVICES = (
    "Inter-|   Receive  |  Transmit\n"
    " face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n"
    "    lo:  10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n"
    "  eth0: 300 1 0 0 0 0 0 0 400 1 0 0 0 0 0 0\n"
)


def test_this_machine_can_be_sampled_twice(plugin, local, scene):
    plugin.process_scheduled_call(local, NOW, {"host": "me"})
    first = [line.split(",")[0] for line in scene.lines()]
    local.cache.put("cpu_seconds", (0.0, 1.0))  # an older reading than any
    plugin.process_scheduled_call(local, NOW, {"host": "me"})

    assert first == ["system_memory", "system_load", "system_network"]
    assert scene.lines()[3].startswith("system_cpu,host=me usage_percent=")
    assert all(line.endswith(" 1767268800000000000") for line in scene.lines())


def test_usage_is_the_busy_part_of_the_time_between(plugin):
    assert plugin.usage_percent((10.0, 100.0), (15.0, 120.0)) == 25.0
    assert plugin.usage_percent(None, (15.0, 120.0)) is None


def test_proc_is_read_as_linux_writes_it(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "dev").write_text(DEVICES)
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "meminfo").write_text(MEMINFO)

    sample = plugin.read_proc(tmp_path)

    assert sample == {
        "cpu_seconds": (1.6, 10.0),
        "memory_bytes": (1024000, 256000),
        "network_bytes": (310, 420),
    }


def test_proc_and_psutil_agree(plugin):
    pytest.importorskip("psutil")

    asked, read = plugin.read_psutil(), plugin.read_proc()

    assert read["cpu_seconds"][1] == pytest.approx(asked["cpu_seconds"][1], rel=0.01)
    assert read["memory_bytes"][0] == asked["memory_bytes"][0]
