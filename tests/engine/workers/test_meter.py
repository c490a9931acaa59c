from __future__ import annotations

import os
import subprocess
import sys

from engine.workers.meter import Meter


def test_a_process_is_seen_to_use_time_and_memory() -> None:
    meter = Meter(os.getpid())
    before_s = meter.cpu_s()
    block = bytearray(32 * 2**20)
    block[::4096] = bytes(len(block) // 4096)
    while (used := meter.usage()) is not None and used.cpu_s <= (before_s or 0.0):
        sum(range(10_000))
    meter.close()

    assert before_s is not None
    assert used is not None
    assert used.peak_memory_bytes > len(block)


def test_a_process_that_has_ended_has_no_usage() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    meter = Meter(child.pid)
    assert meter.usage() is not None

    child.communicate(b"\n")

    assert meter.usage() is None
    assert meter.cpu_s() is None
    meter.close()
