"""A worker process that breaks the wire protocol: it is found out, and nothing hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import zmq

from engine.cache import GlobalCache
from engine.clock import SystemClock
from engine.environments.environment import Environment
from engine.environments.home import Home
from engine.environments.runtime import runtime_folder
from engine.environments.standing import StandingEnvironment
from engine.ingest.transaction import RunIdentity
from engine.model.entry import Run
from engine.model.event import Crashed, Outcome, ProtocolBroken, Succeeded, TimedOut
from engine.model.limits import Limits
from engine.model.lock import SHARED
from engine.model.trigger import RequestSpec, Trigger, TriggerSettings
from engine.plugins.source import Source
from engine.workers.answers import AnswerSink
from engine.workers.callbacks import Callbacks, RunContext
from engine.workers.conversation import GreetingFailed, RunLimits, StopAsked
from engine.workers.generation import LaneEnd, Worker
from engine.workers.lane import NotTaken
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises
from engine.workers.spawn import Spawner
from tests.serving import eventually
from worker.wire.messages import RequestRun

Start = Callable[..., Worker]
SOURCE = Source("x.py", "", None, "1")

# A worker that speaks the protocol until its behaviour says otherwise.
MAIN = """\
import os, sys, time
sys.path.insert(0, {runtime!r})
import msgpack, zmq
from worker.launch import read_launch
from worker.wire import Session, decode, encode
from worker.wire import messages as m

launch = read_launch(int(sys.argv[1]))
context = zmq.Context()
socket = context.socket(zmq.PAIR)
socket.connect(launch.endpoints[0])
def say(message): socket.send(encode(message))
def hello(**changes):
    fields = dict(token=launch.token, protocol=1, api=1, pid=os.getpid(), python="3", lane=0)
    say(m.Hello(**{{**fields, **changes}}))
def up():
    hello()
    socket.recv()
    say(m.Ready())
    socket.recv()
def forever():
    while True: time.sleep(60)
{behaviour}
forever()
"""

# A worker that speaks ZMTP byte by byte, as no ZeroMQ does.
RAW = """\
import os, socket, sys, time
sys.path.insert(0, {runtime!r})
from worker.launch import read_launch
from worker.wire import encode
from worker.wire import messages as m

launch = read_launch(int(sys.argv[1]))
path = launch.endpoints[0].removeprefix("ipc://")
GREETING = b"\\xff" + bytes(8) + b"\\x7f\\x03\\x01" + b"NULL".ljust(20, b"\\0") + bytes(32)
READY = b"\\x04\\x1a\\x05READY\\x0bSocket-Type\\0\\0\\0\\x04PAIR"
def frame(body, flags=0): return bytes([2 | flags]) + len(body).to_bytes(8, "big") + body
def come():
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    return peer
def greet(peer):
    peer.sendall(GREETING + READY)
    missing = len(GREETING + READY)
    while missing: missing -= len(peer.recv(missing))
    return peer
def hello(peer, token=None):
    fields = dict(token=token or launch.token, protocol=1, api=1, pid=os.getpid(), python="3")
    peer.sendall(frame(encode(m.Hello(**fields, lane=0))))
    return peer
def up():
    peer = hello(greet(come()))
    peer.recv(1000)
    peer.sendall(frame(encode(m.Ready())))
    peer.recv(1000)
    return peer
def flood(peer, data, most=300 << 20):
    while most > 0:
        peer.sendall(data)
        most -= len(data)
def forever():
    while True: time.sleep(60)
{behaviour}
forever()
"""


def rise_of_memory(act: Callable[[], object]) -> int:
    """Return by how many bytes the resident memory of this process rose above its start."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = _resident("VmRSS")
    act()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


@dataclass
class Liar:
    """Starts workers with a behaviour."""

    folder: Path
    premises: Premises
    runtime: Path
    environment: Environment

    def start(
        self, behaviour: str, template: str, stop: threading.Event, start_s: float, time_s: float
    ) -> Worker:
        main = self.folder / "__main__.py"
        main.write_text(template.format(runtime=str(self.runtime), behaviour=behaviour))
        premises = _LyingPremises(self.premises, self.environment, self.folder)
        premises.limits = replace(self.premises.limits, start_s=start_s)
        settings = TriggerSettings(limits=Limits(time_s=time_s))
        trigger = Trigger(1, 1, "liar", "x.py", RequestSpec("x"), settings, None, False, 1)
        callbacks = Callbacks(None, None, GlobalCache(SystemClock()))
        spawner = Spawner(premises, callbacks, trigger, "db")
        [worker] = spawner.spawn([LaneEnd(Nudge(), lambda *_: None, stop)])
        return worker


class _LyingPremises:
    """Premises whose runtime folder is the liar's."""

    def __init__(self, real: Premises, environment: Environment, folder: Path) -> None:
        self._real = real
        self.home = lambda _: Home(environment, folder)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    base = tmp_path_factory.mktemp("liar")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    premises = Premises(
        context,
        plugin_dir=base / "plugins",
        homes=StandingEnvironment(
            base / "plugins" / ".venv", partial(runtime_folder, base / "runtime")
        ),
        runtime_dir=base / "runtime",
        limits=RunLimits(start_s=20.0, run_s=2.0, cancel_grace_s=0.5),
        mirror_value_bytes=1024,
    )
    home = premises.home(SHARED)
    environment, runtime = home.environment, home.runtime
    folder = base / "lies"
    folder.mkdir()
    started: list[Worker] = []

    def begin(
        behaviour: str,
        template: str = MAIN,
        *,
        stop: threading.Event | None = None,
        start_s: float = 20.0,
        time_s: float = 2.0,
    ) -> Worker:
        liar = Liar(folder, premises, runtime, environment)
        worker = liar.start(behaviour, template, stop or threading.Event(), start_s, time_s)
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        worker.end()
    premises.close()
    context.term()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("hello(protocol=99)", "protocol 99"),
        ("hello(); socket.recv(); say(m.Result(None, None))", "Result"),
        ("print('no module', flush=True); os._exit(4)", "exited with status 4\nno module"),
    ],
)
def test_a_worker_that_does_not_greet_properly_is_refused_with_the_reason(
    start: Start, behaviour: str, reason: str
) -> None:
    worker = start(behaviour)

    with pytest.raises(GreetingFailed) as refused:
        worker.greet(0)

    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("hello(token=b'x' * 32)", "token"),
        ("socket.send(b'garbage')", ""),
        ("say(m.Ready())", "Ready"),
        ("socket.send_multipart([b'a', b'b'])", "several frames"),
        ("socket.close(0)", "closed its connection"),
        ("pass", "no word from it within 3 s"),
    ],
)
def test_a_worker_that_does_not_greet_is_waited_for_and_then_refused_with_the_reason(
    start: Start, behaviour: str, reason: str
) -> None:
    worker = start(behaviour, start_s=3.0)

    with pytest.raises(GreetingFailed) as refused:
        worker.greet(0)

    assert reason in str(refused.value)


def run(worker: Worker, answer: AnswerSink | None = None) -> Outcome:
    worker.greet(0)
    who = RunIdentity(Run(1, "r"), "db", 1, (1,))
    return worker.conversation.run(RequestRun("r", {}, {}, b""), RunContext(who, None, answer))


@pytest.mark.parametrize(
    "behaviour",
    [
        "up(); socket.send(b'\\xc1' * 10)",
        "up(); say(m.Ready())",
        "up(); say(m.Hello(launch.token, 1, 1, 1, '3', 0))",
        "up(); socket.send(bytes(70_000_000))",
        "up(); socket.close(0)",
        "up(); socket.send_multipart([encode(m.Result(None, None)), b''])",
    ],
)
def test_a_worker_that_breaks_the_protocol_in_a_run_is_found_out(
    start: Start, behaviour: str
) -> None:
    assert isinstance(run(start(behaviour)), ProtocolBroken)


@pytest.mark.parametrize(
    "behaviour",
    [
        "up(); say(m.Chunk(b'x'))",
        "up(); say(m.Head(200, (), None)); say(m.Head(200, (), None))",
        "up(); say(m.Head(200, (), 1 << 40))",
        "up(); say(m.Head(200, (), 2)); say(m.Result(None, None))",
        "up(); say(m.Head(200, (), None)); say(m.Chunk(bytes(2 << 20)))",
        "up(); say(m.Head(200, (), None)); say(m.Result(None, m.Response(200, (), b'')))",
    ],
)
def test_an_answer_whose_parts_do_not_fit_is_found_out(start: Start, behaviour: str) -> None:
    assert isinstance(run(start(behaviour), AnswerSink(Future())), ProtocolBroken)


def test_an_answer_to_an_event_that_is_no_request_is_found_out(
    start: Start,
) -> None:
    assert isinstance(run(start("up(); say(m.Head(200, (), None))")), ProtocolBroken)


def test_a_stream_that_nobody_reads_is_stopped_at_its_deadline(
    start: Start,
) -> None:
    worker = start(
        "up(); say(m.Head(200, (), None))\nwhile True: say(m.Chunk(bytes(1 << 20))); socket.recv()"
    )

    assert run(worker, AnswerSink(Future())) == TimedOut(2.0)


def test_a_result_is_kept_when_the_worker_ends_right_after_it(
    start: Start,
) -> None:
    behaviour = "up(); say(m.Lines(None, 'a v=1')); say(m.Result(None, None)); "
    worker = start(behaviour + "socket.close(5000); context.term(); os._exit(0)")

    outcome = run(worker)

    assert isinstance(outcome, Succeeded)
    assert [part.text for part in outcome.lines] == ["a v=1"]
    assert worker.conversation.rest() == "exited with status 0"


def test_a_worker_that_ends_or_falls_silent_in_a_run_is_told_apart(
    start: Start,
) -> None:
    died = run(start("up(); print('bye', flush=True); os._exit(9)"))
    silent = run(start("up()"))

    assert died == Crashed("exited with status 9", "bye")
    assert silent == TimedOut(2.0)


def test_a_worker_that_died_before_the_event_reached_it_has_died_and_broken_no_rule(
    start: Start,
) -> None:
    worker = start(
        "hello(); socket.recv(); say(m.Ready()); socket.close(5000); context.term(); os._exit(9)"
    )
    worker.greet(0)
    assert worker.conversation.rest() == "exited with status 9"

    outcome = worker.conversation.run(
        RequestRun("r", {}, {}, b""), RunContext(RunIdentity(Run(1, "r"), "db", 1, (1,)), None)
    )

    assert outcome == Crashed("exited with status 9", "")


def test_a_worker_that_has_died_and_was_not_heard_out_is_not_waited_for(start: Start) -> None:
    worker = start("hello(); socket.recv(); say(m.Ready()); say(m.Log('INFO', 'last words', 1))")
    worker.conversation._lane._endpoint._patience_s = 50.0  # noqa: SLF001  longer than all else
    worker.greet(0)
    os.kill(worker.process.pid, signal.SIGKILL)
    assert worker.process.has_ended(10.0)

    with pytest.raises(NotTaken, match="cannot send Load: its process has ended"):
        eventually(lambda: worker.load(SOURCE))  # is taken until the end is noticed

    assert worker.conversation.rest() == "killed by SIGKILL"


def test_a_worker_that_takes_nothing_does_not_hold_up_the_stop_of_its_trigger(
    start: Start,
) -> None:
    stop = threading.Event()
    worker = start(
        "peer = up(); put = frame(encode(m.CachePutCall('key', bytes(8 << 20), None)))\n"
        "peer.sendall(put); get = frame(encode(m.CacheGetCall('key')))\n"
        "while True: peer.sendall(get)",
        RAW,
        stop=stop,
        time_s=40.0,
    )
    endpoint = worker.conversation._lane._endpoint  # noqa: SLF001  tells whether it waits
    endpoint._patience_s = 50.0  # noqa: SLF001  longer than all else

    def ask_to_stop() -> None:
        eventually(lambda: endpoint.was_slow)
        stop.set()
        worker.conversation._nudge.signal()  # noqa: SLF001  as the supervisor does

    asking = threading.Thread(target=ask_to_stop)
    asking.start()
    with pytest.raises(StopAsked):
        run(worker)

    asking.join()


def test_a_flood_of_output_neither_blocks_the_worker_nor_grows_without_bound(
    start: Start,
) -> None:
    worker = start(
        "up()\nfor _ in range(3000): print('x' * 1000)\n"
        "sys.stdout.flush(); say(m.Result(None, None))"
    )

    assert isinstance(run(worker), Succeeded)
    assert len(worker.process.last_words()) <= 40 * 1001


@pytest.mark.parametrize("flood", ["say(m.Log('INFO', 'x', 1))", "print('x', flush=True)"])
def test_a_worker_that_never_stops_talking_is_stopped_at_its_deadline(
    start: Start, flood: str
) -> None:
    assert run(start(f"up()\nwhile True: {flood}")) == TimedOut(2.0)


def test_a_resting_worker_that_never_stops_talking_leaves_room_for_events(
    start: Start,
) -> None:
    worker = start("hello(); socket.recv(); say(m.Ready())\nwhile True: say(m.Log('INFO', 'x', 1))")
    worker.greet(0)
    worker.conversation._nudge.signal()  # noqa: SLF001  as the feed does

    assert worker.conversation.rest() is None


def test_any_number_of_cache_values_is_given_back_to_a_worker_that_is_slow_to_take_them(
    start: Start,
) -> None:
    worker = start(
        "hello(); time.sleep(0.5); welcome = decode(socket.recv(), sender='engine')\n"
        "for _ in range(welcome.restores): socket.recv()\n"
        "say(m.Ready())"
    )
    for number in range(20_000):
        worker.mirror.store(f"key {number}", b"value", None)

    worker.greet(0)


@pytest.mark.parametrize(
    "behaviour",
    [
        "flood(up(), frame(bytes(1 << 20), 1))",
        "flood(up(), frame(b'', 1) * 10_000)",
        "peer = up(); peer.sendall(frame(bytes(10))[:-10]); flood(peer, bytes(1 << 20))",
        "peer = up(); peer.sendall(b'\\x02' + (1 << 40).to_bytes(8, 'big')); flood(peer, b'x')",
        "flood(up(), b'\\x04\\x07\\x04PING\\0\\0')",
    ],
)
def test_frames_that_no_zeromq_would_send_end_the_run_and_fill_no_memory(
    start: Start, behaviour: str
) -> None:
    worker = start(behaviour, RAW)
    outcomes: list[Outcome] = []

    rise = rise_of_memory(lambda: outcomes.append(run(worker)))

    assert isinstance(outcomes[0], ProtocolBroken)
    assert rise < 32 << 20


def test_frames_of_a_message_without_end_before_the_hello_fill_no_memory(start: Start) -> None:
    behaviour = "try: flood(greet(come()), frame(bytes(1 << 20), 1))\nexcept OSError: pass"
    worker = start(behaviour, RAW, start_s=3.0)

    def greet() -> None:
        with pytest.raises(GreetingFailed, match="several frames"):
            worker.greet(0)

    assert rise_of_memory(greet) < 32 << 20


def test_a_message_as_large_as_allowed_that_comes_byte_by_byte_does_not_hold_up_the_deadline(
    start: Start,
) -> None:
    worker = start(
        "peer = up(); peer.sendall(b'\\x02' + (64 << 20).to_bytes(8, 'big'))\n"
        "while True: peer.sendall(b'x')",
        RAW,
    )

    assert run(worker) == TimedOut(2.0)


def test_a_worker_that_asks_without_taking_the_answers_is_found_out_and_fills_no_memory(
    start: Start,
) -> None:
    worker = start(
        "peer = up(); put = frame(encode(m.CachePutCall('key', bytes(8 << 20), None)))\n"
        "peer.sendall(put); get = frame(encode(m.CacheGetCall('key')))\n"
        "while True: peer.sendall(get)",
        RAW,
        time_s=20.0,
    )
    worker.conversation._lane._endpoint._patience_s = 1.0  # noqa: SLF001  a test is in a hurry
    outcomes: list[Outcome] = []

    rise = rise_of_memory(lambda: outcomes.append(run(worker)))

    assert isinstance(outcomes[0], ProtocolBroken)
    assert rise < 96 << 20


def test_a_worker_that_takes_a_message_slowly_does_not_hold_up_the_engine(
    start: Start,
) -> None:
    # It takes enough to keep a patience for single pieces alive; there is one for all of them.
    worker = start(
        "peer = up(); put = frame(encode(m.CachePutCall('key', bytes(60 << 20), None)))\n"
        "peer.sendall(put); peer.sendall(frame(encode(m.CacheGetCall('key'))))\n"
        "while True:\n"
        "    time.sleep(0.1); left = 1 << 20\n"
        "    while left: left -= len(peer.recv(left))",
        RAW,
        time_s=20.0,
    )
    worker.conversation._lane._endpoint._patience_s = 1.5  # noqa: SLF001  a test is in a hurry

    assert isinstance(run(worker), ProtocolBroken)


def test_peers_that_come_first_and_stay_silent_or_lie_do_not_lock_out_the_worker(
    start: Start,
) -> None:
    worker = start(
        "others = [come() for _ in range(80)]\n"
        "for other in others[-10:-5]: other.sendall(GREETING)\n"
        "liars = [hello(greet(come()), b'x' * 32) for _ in range(5)]\n"
        "peer = up(); peer.sendall(frame(encode(m.Result(None, None))))",
        RAW,
    )

    assert isinstance(run(worker), Succeeded)
    assert "turned away" in worker.conversation._lane.turned_away()  # noqa: SLF001


def test_nobody_can_come_when_the_lane_has_its_owner(start: Start) -> None:
    worker = start(
        "early = come(); peer = up()\n"
        "early.sendall(GREETING) if not early.recv(8192) else early.recv(8192)\n"
        "try: come()\n"
        "except FileNotFoundError: peer.sendall(frame(encode(m.Result(None, None))))",
        RAW,
    )

    assert isinstance(run(worker), Succeeded)


@pytest.mark.parametrize(
    "flood",
    [
        "say(m.Log('x' * 99_999, 'x' * 1_000_000, 1))",
        "n += 1; say(m.Mirror(f'{n}' + 'k' * 1_000_000, None, None, 'live'))",
        "n += 1; say(m.Mirror(f'{n}', bytes(1_000_000), None, 'stored'))",
        "os.write(2, b'x' * 1_000_000)",
    ],
)
def test_side_notes_without_end_fill_no_memory_and_leave_the_deadline_as_it_is(
    start: Start, flood: str
) -> None:
    worker = start(f"up()\nn = 0\nwhile n < 1000: {flood}")
    outcomes: list[Outcome] = []

    rise = rise_of_memory(lambda: outcomes.append(run(worker)))

    assert outcomes == [TimedOut(2.0)]
    assert rise < 160 << 20  # the mirror holds up to 64 MiB


@pytest.mark.parametrize(
    "behaviour",
    [
        "say(m.Result(None, None))",
        "say(m.Lines(None, 'a v=1'))",
        "say(m.QueryCall('select 1', None, None))",
        "hello()",
        "socket.send(b'\\x91\\xcd' + b'\\x91' * 100_000)",
    ],
)
def test_what_an_idle_worker_may_not_say_ends_it(start: Start, behaviour: str) -> None:
    worker = start(f"hello(); socket.recv(); say(m.Ready()); {behaviour}")
    worker.greet(0)

    assert (worker.conversation.rest(time.monotonic() + 5) or "").startswith("broke the protocol")
