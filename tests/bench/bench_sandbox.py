"""What the sandbox costs: start, round trip and memory of a worker, with it and without, in turns.

    python -m tests.bench.bench_sandbox [rounds]

Prints medians and minima of both, and what the sandbox adds: at the start (target: at most 20 ms),
on an empty call (at most 5 %), in memory (at most 2 MB, what is shared divided among its users,
bubblewrap's processes included; without the control group's own).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import zmq

from engine.cache import GlobalCache
from engine.clock import SystemClock
from engine.config import SandboxConfig
from engine.environments.runtime import runtime_folder
from engine.environments.standing import StandingEnvironment
from engine.ingest.transaction import RunIdentity
from engine.model.entry import Run
from engine.model.trigger import EverySpec, Trigger, TriggerSettings
from engine.plugins.source import PluginFolder
from engine.sandbox.sandbox import Sandbox
from engine.workers.callbacks import Callbacks, RunContext
from engine.workers.conversation import RunLimits
from engine.workers.generation import LaneEnd, Worker
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises
from engine.workers.quarters import Quarters
from engine.workers.spawn import Spawner
from worker.wire.messages import ScheduledRun

STARTS = 15
CALLS = 300
PLUGIN = "def process_scheduled_call(local, time, args=None):\n    pass\n"


class House:
    """Starts workers of one kind."""

    def __init__(self, folder: Path, mode: str) -> None:
        plugins = folder / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "empty.py").write_text(PLUGIN)
        self.sandbox = Sandbox(mode, str(folder))
        self.sandbox.open()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._premises = Premises(
            self._context,
            plugin_dir=plugins,
            homes=StandingEnvironment(
                plugins / ".venv", partial(runtime_folder, folder / "runtime")
            ),
            runtime_dir=folder / "runtime",
            limits=RunLimits(start_s=60, run_s=60, cancel_grace_s=1),
            mirror_value_bytes=1024,
            quarters=Quarters(
                self.sandbox,
                SandboxConfig(mode=mode),
                plugin_dir=plugins,
                private_dir=folder / "private",
            ),
        )
        cache = GlobalCache(SystemClock())
        callbacks = Callbacks(None, None, cache)  # type: ignore[arg-type]  # nothing is called back
        settings, spec = TriggerSettings(), EverySpec(1_000_000_000)
        trigger = Trigger(1, 1, "bench", "empty.py", spec, settings, None, disabled=False, start=1)
        self._spawner = Spawner(self._premises, callbacks, trigger, "db")
        self._source = PluginFolder(plugins).open("empty.py").current()

    def start(self) -> tuple[Worker, float]:
        """Return a worker at rest, and the milliseconds until it was."""
        began_s = time.perf_counter()
        [worker] = self._spawner.spawn([LaneEnd(Nudge(), lambda *_: None, threading.Event())])
        worker.greet(0)
        taken_ms = (time.perf_counter() - began_s) * 1000
        worker.load(self._source)
        return worker, taken_ms

    def close(self) -> None:
        self._premises.close()
        self._context.term()
        self.sandbox.close()


@contextmanager
def houses() -> Iterator[tuple[House, House]]:
    with tempfile.TemporaryDirectory() as name:
        both = House(Path(name, "off"), "off"), House(Path(name, "on"), "required")
        yield both
        for house in both:
            house.close()


def start_ms(house: House) -> float:
    worker, taken_ms = house.start()
    worker.end()
    return taken_ms


def call_us(worker: Worker) -> list[float]:
    context = RunContext(RunIdentity(Run(1, "bench"), "db", 1, ()), None)
    taken = []
    for _ in range(CALLS):
        began_ns = time.perf_counter_ns()
        worker.conversation.run(ScheduledRun("bench", 0), context)
        taken.append((time.perf_counter_ns() - began_ns) / 1000)
    return taken


def memory_mb(worker: Worker) -> float:
    process = psutil.Process(worker.process.pid)
    family = [process, *process.children(recursive=True)]
    return sum(each.memory_full_info().pss for each in family) / 1e6


def report(name: str, unit: str, off: list[float], on: list[float]) -> None:
    plain, walled = statistics.median(off), statistics.median(on)
    print(
        f"{name:<12} off {plain:8.2f} {unit} (least {min(off):.2f})   "
        f"on {walled:8.2f} {unit} (least {min(on):.2f})   "
        f"adds {walled - plain:6.2f} {unit}, ratio {walled / plain:.3f}"
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with houses() as (off, on):
        print(f"sandbox level {on.sandbox.report.level.value}")
        for house in (off, on):
            start_ms(house)  # makes the environment and the runtime folder
        for _ in range(rounds):
            starts = [(start_ms(off), start_ms(on)) for _ in range(STARTS)]
            report("start", "ms", [a for a, _ in starts], [b for _, b in starts])
        plain, walled = off.start()[0], on.start()[0]
        for _ in range(rounds):
            taken = [(call_us(plain), call_us(walled)) for _ in range(10)]
            report(
                "empty call",
                "us",
                [statistics.median(a) for a, _ in taken],
                [statistics.median(b) for _, b in taken],
            )
        report("memory", "MB", [memory_mb(plain)], [memory_mb(walled)])
        for worker in (plain, walled):
            worker.end()


if __name__ == "__main__":
    main()
