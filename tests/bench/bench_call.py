"""An empty call through a worker against a raw unix socket ping-pong, in one interleaved run.

    python tests/bench/bench_call.py [rounds]

Prints medians, 99th percentiles and the ratio of the medians (target: at most 6), and beside them
a bare ZeroMQ PAIR ping-pong, whose two I/O threads are the larger part of the way.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import zmq

from engine.cache import GlobalCache
from engine.clock import SystemClock
from engine.environments.runtime import runtime_folder
from engine.environments.standing import StandingEnvironment
from engine.ingest.transaction import RunIdentity
from engine.model.entry import Run
from engine.model.trigger import EverySpec, Trigger, TriggerSettings
from engine.plugins.source import PluginFolder
from engine.workers.callbacks import Callbacks, RunContext
from engine.workers.conversation import RunLimits
from engine.workers.generation import LaneEnd, Worker
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises
from engine.workers.spawn import Spawner
from worker.wire.messages import ScheduledRun

CALLS = 300
PLUGIN = "def process_scheduled_call(local, time, args=None):\n    pass\n"
ECHO = (
    "import socket,sys\n"
    "s=socket.socket(fileno=int(sys.argv[1]))\n"
    "while data:=s.recv(4096): s.sendall(data)\n"
)
PAIR_ECHO = (
    "import zmq,sys\n"
    "s=zmq.Context().socket(zmq.PAIR)\n"
    "s.connect(sys.argv[1])\n"
    "while data:=s.recv(): s.send(data)\n"
)


@contextmanager
def worker_of(folder: Path) -> Iterator[Worker]:
    (folder / "empty.py").write_text(PLUGIN)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    premises = Premises(
        context,
        plugin_dir=folder,
        homes=StandingEnvironment(folder / ".venv", partial(runtime_folder, folder / "runtime")),
        runtime_dir=folder / "runtime",
        limits=RunLimits(start_s=60, run_s=60, cancel_grace_s=1),
        mirror_value_bytes=1024,
    )
    callbacks = Callbacks(None, None, GlobalCache(SystemClock()))  # nothing is called back
    settings = TriggerSettings()
    spec = EverySpec(1_000_000_000)
    trigger = Trigger(1, 1, "bench", "empty.py", spec, settings, None, disabled=False, start=1)
    spawner = Spawner(premises, callbacks, trigger, "db")
    nudge = Nudge()
    [worker] = spawner.spawn([LaneEnd(nudge, lambda *_: None, threading.Event())])
    try:
        worker.greet(0)
        worker.load(PluginFolder(folder).open("empty.py").current())
        yield worker
    finally:
        worker.end()
        premises.close()
        context.term()


@contextmanager
def echo() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-S", "-c", ECHO, str(theirs.fileno())]
    child = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
    theirs.close()
    with ours:
        yield ours
    child.wait(10)


@contextmanager
def pair(folder: Path) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = f"ipc://{folder}/pair"
    with context.socket(zmq.PAIR) as ours:
        ours.bind(endpoint)
        child = subprocess.Popen([sys.executable, "-c", PAIR_ECHO, endpoint])
        yield ours
        ours.send(b"")
        child.wait(10)
    context.term()


def times_us(call: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - start) / 1000)
    return taken


def report(name: str, taken: list[float]) -> float:
    median = statistics.median(taken)
    p99 = statistics.quantiles(taken, n=100)[98]
    print(f"{name:<32} p50 {median:8.1f} us   p99 {p99:8.1f} us")
    return median


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    sys.setswitchinterval(0.0005)
    with (
        tempfile.TemporaryDirectory() as name,
        worker_of(Path(name)) as worker,
        echo() as raw,
        pair(Path(name)) as bare,
    ):
        who = RunIdentity(Run(1, "r"), "db", 1, (1,))

        def through_worker() -> None:
            message = ScheduledRun("r", 0)
            worker.conversation.run(message, RunContext(who, None))

        def through_socket() -> None:
            raw.sendall(b"x" * 32)
            raw.recv(4096)

        def through_pair() -> None:
            bare.send(b"x" * 32)
            bare.recv()

        calls: list[float] = []
        pings: list[float] = []
        pairs: list[float] = []
        times_us(through_worker)
        times_us(through_pair)
        for _ in range(rounds):
            pings += times_us(through_socket)
            pairs += times_us(through_pair)
            calls += times_us(through_worker)
    ping = report("raw unix socket ping-pong", pings)
    bare_pair = report("bare ZeroMQ PAIR ping-pong", pairs)
    call = report("empty call through a worker", calls)
    print(f"call / socket {call / ping:.1f} (target <= 6)")
    print(f"PAIR / socket {bare_pair / ping:.1f}, call / PAIR {call / bare_pair:.1f}")


if __name__ == "__main__":
    main()
