"""An empty call through a worker against a raw unix socket ping-pong, in one interleaved run.

    python tests/bench/bench_call.py [rounds]

Prints the median and 99th percentile of both and the ratio of the medians (target: at most 6).
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

from engine.cache import GlobalCache
from engine.clock import SystemClock
from engine.ingest.transaction import RunIdentity
from engine.model.entry import Run
from engine.model.trigger import RequestSpec, Trigger, TriggerSettings
from engine.plugins.source import PluginFolder
from engine.workers.callbacks import Callbacks, RunContext
from engine.workers.conversation import RunLimits
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises
from engine.workers.spawn import Spawner, Worker
from worker.wire.messages import RequestRun

CALLS = 300
PLUGIN = "def process_request(local, query, headers, body, args=None):\n    return ''\n"
ECHO = (
    "import socket,sys\n"
    "s=socket.socket(fileno=int(sys.argv[1]))\n"
    "while data:=s.recv(4096): s.sendall(data)\n"
)


@contextmanager
def worker_of(folder: Path) -> Iterator[Worker]:
    (folder / "empty.py").write_text(PLUGIN)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    premises = Premises(
        context,
        plugin_dir=folder,
        environment_dir=folder / ".venv",
        runtime_dir=folder / "runtime",
        limits=RunLimits(start_s=60, run_s=60, cancel_grace_s=1),
        mirror_value_bytes=1024,
    )
    callbacks = Callbacks(None, None, GlobalCache(SystemClock()))  # nothing is called back
    settings = TriggerSettings()
    spec = RequestSpec("x")
    trigger = Trigger(1, 1, "bench", "empty.py", spec, settings, None, disabled=False, start=1)
    spawner = Spawner(premises, callbacks, trigger, "db")
    nudge = Nudge()
    worker = spawner.spawn(nudge, is_stopping=lambda: False, log=lambda *_: None)
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
    with tempfile.TemporaryDirectory() as name, worker_of(Path(name)) as worker, echo() as raw:
        who = RunIdentity(Run(1, "r"), "db", 1, (1,))

        def through_worker() -> None:
            message = RequestRun("r", {}, {}, b"")
            worker.conversation.run(message, RunContext(who, None))

        def through_socket() -> None:
            raw.sendall(b"x" * 32)
            raw.recv(4096)

        calls: list[float] = []
        pings: list[float] = []
        times_us(through_worker)
        for _ in range(rounds):
            pings += times_us(through_socket)
            calls += times_us(through_worker)
    ping = report("raw unix socket ping-pong", pings)
    call = report("empty call through a worker", calls)
    print(f"ratio of medians {call / ping:.1f} (target <= 6)")


if __name__ == "__main__":
    main()
