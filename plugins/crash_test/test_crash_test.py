"""Tests of crash_test; the fatal modes run in a process of their own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

BATCHES = [{"table_name": "cpu", "rows": [{"time": 1}, {"time": 2}]}]


def test_events_and_rows_are_counted(plugin, local, scene):
    plugin.process_writes(local, BATCHES, None)
    plugin.process_writes(local, BATCHES, None)

    assert scene.lines()[1] == "crash_test event=2i,row_count=2i"


def test_the_chosen_event_fails_once_and_passes_when_repeated(plugin, local, scene):
    args = {"mode": "raise", "at": "1"}
    with pytest.raises(RuntimeError, match="as asked: raise"):
        plugin.process_writes(local, BATCHES, args)

    plugin.process_writes(local, BATCHES, args)

    assert scene.lines() == ["crash_test event=1i,row_count=2i"]


def test_own_counts_are_no_events(plugin, local, scene):
    rows = [{"table_name": "crash_test", "rows": [{"time": 1}]}]

    plugin.process_writes(local, rows, {"mode": "raise", "at": "1"})

    assert scene.lines() == []


def test_requests_are_counted_as_well(plugin, local):
    assert plugin.process_request(local, {}, {}, b"", None) == {"event": 1}


@pytest.mark.parametrize(("mode", "status"), [("segfault", -signal.SIGSEGV), ("exit", 3)])
def test_fatal_modes_end_the_process(mode, status):
    path = Path(__file__).with_name("crash_test.py")
    program = f"import runpy; runpy.run_path({str(path)!r})['fail']({mode!r})"

    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=20)

    assert ended.returncode == status
