"""Start the program with faults armed: `python -m tests.faults.launcher serve ...`.

The product reads none of this; the launcher puts it around the product, then runs the command.

    BULKHEAD_FAULT     what happens where, separated by commas:
                         <place>[#n]=kill          the process dies as by `kill -9`
                         <place>[#n]=power         the same, and only what was synced is kept
                         <place>[#n]=kill-workers  its workers die
                         call:<name>@<part of path>[#n][+m]=<ENOSPC, EIO, ...>
                                                   that call of `os` fails, m times more
                       n counts from 1, which it is if it is not said
    BULKHEAD_SETTINGS  settings as JSON, laid over those of the command line
    BULKHEAD_CLOCK     a file of eight bytes: nanoseconds by which the wall clock is wrong
    BULKHEAD_REACHED   a file to which each place that is reached is added as a line
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import signal
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine import faultpoint
from engine.__main__ import main
from engine.clock import SystemClock
from engine.config import Config
from tests.faults.power import Power
from tests.faults.refusing import refuse

_FAULT = re.compile(r"(?P<place>[^#=+]+)(#(?P<nth>\d+))?(\+(?P<more>\d+))?=(?P<what>[A-Za-z-]+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of `BULKHEAD_FAULT`."""

    place: str
    nth: int
    more: int
    what: str


def parse(text: str) -> list[Fault]:
    """Return the faults of a text."""
    faults = []
    for part in filter(None, text.split(",")):
        found = _FAULT.fullmatch(part)
        if found is None:
            raise ValueError(f"not a fault: {part}")
        fault = Fault(
            found["place"], int(found["nth"] or 1), int(found["more"] or 0), found["what"]
        )
        faults.append(fault)
    return faults


class Trap:
    """Counts the places that are reached, and lets what is armed happen; any thread calls it."""

    def __init__(self, faults: list[Fault], power: Power | None, noted: int | None) -> None:
        self._wanted = {(fault.place, fault.nth): fault.what for fault in faults}
        self._power = power
        self._noted = noted
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def __call__(self, place: str) -> None:
        with self._lock:
            self._counts[place] += 1
            what = self._wanted.pop((place, self._counts[place]), None)
        if self._noted is not None:
            os.write(self._noted, f"{place}\n".encode())
        if what is not None:
            self._do(what)

    def _do(self, what: str) -> None:
        if what == "kill-workers":
            kill_workers()
            return
        if what == "power" and self._power is not None:
            self._power.cut()
        os.kill(os.getpid(), signal.SIGKILL)


def kill_workers() -> None:
    """End the workers of this process as an out-of-memory killer would, and see them end."""
    for child in psutil.Process().children():
        # The server may have noticed and reaped it meanwhile.
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if _kill_worker([child, *child.children(recursive=True)]):
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


def _kill_worker(processes: list[psutil.Process]) -> bool:
    """Kill the worker among a child and what it has started; return whether there is one."""
    workers = [each for each in processes if each.name() != "bwrap" and _is_worker(each)]
    for worker in workers:
        worker.kill()
    return bool(workers)


def _is_worker(process: psutil.Process) -> bool:
    return "runtime" in " ".join(process.cmdline())


def overlay(settings: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Return settings with others laid over them."""
    merged = dict(settings)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = overlay(below, value)
        merged[name] = value
    return merged


def lay_over_settings(over: Mapping[str, object]) -> None:
    """Lay settings over those that the command line gives."""
    original: Callable[[Mapping[str, object]], Config] = Config.from_mapping
    Config.from_mapping = lambda settings: original(overlay(settings, over))  # type: ignore[method-assign]


def let_clock_jump(path: str) -> None:
    """Let the wall clock be wrong by what the file says at each moment."""
    with Path(path).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)

    def now_ns(_clock: SystemClock) -> int:
        offset: int = struct.unpack("<q", shared[:8])[0]
        return time.time_ns() + offset

    SystemClock.now_ns = now_ns  # type: ignore[method-assign]


def arm(environment: Mapping[str, str], arguments: list[str]) -> None:
    """Put everything that the environment names around the product."""
    faults = parse(environment.get("BULKHEAD_FAULT", ""))
    power = None
    if any(fault.what == "power" for fault in faults):
        power = Power(Path(arguments[arguments.index("--data-dir") + 1]))
        power.watch()
    noted = None
    if path := environment.get("BULKHEAD_REACHED"):
        noted = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    places = [fault for fault in faults if not fault.place.startswith("call:")]
    faultpoint.arm(Trap(places, power, noted))
    for fault in faults:
        if fault.place.startswith("call:"):
            name, _, part = fault.place.removeprefix("call:").partition("@")
            refuse(name, part, range(fault.nth, fault.nth + fault.more + 1), fault.what)
    if text := environment.get("BULKHEAD_SETTINGS"):
        lay_over_settings(json.loads(text))
    if path := environment.get("BULKHEAD_CLOCK"):
        let_clock_jump(path)


if __name__ == "__main__":
    arm(os.environ, sys.argv)
    sys.exit(main())
