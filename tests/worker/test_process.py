"""A real worker process, driven from the engine's end."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.wire import Fault
from worker.wire import messages as m

ROWS = m.Block(
    "cpu",
    2,
    (
        m.BlockColumn("host", "s", b"ab", struct.pack("<3i", 0, 1, 2)),
        m.BlockColumn("load", "d", struct.pack("<2d", 1.5, 0), b"", struct.pack("<i", 1)),
        m.BlockColumn("time", "q", struct.pack("<2q", 10, 20)),
    ),
)
WAL = m.WalRun("r1", (ROWS,))
TICK = m.ScheduledRun("r1", 1_735_689_600_900_000_000)
REQUEST = m.RequestRun("r1", {"q": "1"}, {"host": "x"}, b"body")
StartWorker = Callable[..., "object"]


@pytest.fixture
def lane(start_worker):  # noqa: ANN001, ANN201 - from conftest
    worker = start_worker(arguments={"a": "b"})
    worker.greet()
    return worker


def test_a_worker_introduces_itself_and_stops_when_told(start_worker) -> None:  # noqa: ANN001
    worker = start_worker()

    hello = worker.greet()

    assert (hello.token, hello.protocol, hello.pid) == (b"secret", 1, worker.process.pid)
    assert worker.stop() == 0


def test_the_documented_sample_runs_on_written_rows(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_writes(influxdb3_local, table_batches, args=None):
            for table_batch in table_batches:
                row_count = len(table_batch["rows"])
                line = LineBuilder("write_reports")\\
                    .tag("table_name", table_batch["table_name"])\\
                    .int64_field("row_count", row_count)
                influxdb3_local.write(line)
                influxdb3_local.write_to_db("other", line)
                influxdb3_local.write(line)
            influxdb3_local.info("rows", table_batches, args)
            args["mine"] = "1"
        """)

    for _ in range(2):
        finished = lane.run(WAL)

        line = "write_reports,table_name=cpu row_count=2i"
        assert finished.result == m.Result(None, None)
        assert finished.lines == [m.Lines(None, f"{line}\n{line}"), m.Lines("other", line)]
        [rows] = lane.texts("INFO")
        assert rows == (
            "rows [{'table_name': 'cpu', 'rows': [{'host': 'a', 'load': 1.5, 'time': 10}, "
            "{'host': 'b', 'time': 20}]}] {'a': 'b'}"
        )
        lane.logs.clear()


def test_a_scheduled_run_gets_a_naive_time_in_whole_seconds(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_scheduled_call(influxdb3_local, call_time, args):
            influxdb3_local.warn(repr(call_time), call_time.astimezone().utcoffset())
        """)

    lane.run(TICK)

    assert lane.texts("WARN") == ["datetime.datetime(2025, 1, 1, 0, 0) 0:00:00"]


def test_a_request_is_answered(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(influxdb3_local, query_parameters, request_headers, request_body, args):
            return {"got": [query_parameters, request_headers, request_body.decode(), args]}, 201
        """)

    response = lane.run(REQUEST).result.response

    assert response == m.Response(
        201,
        (("Content-Type", "application/json"),),
        b'{"got": [{"q": "1"}, {"host": "x"}, "body", {"a": "b"}]}',
    )


def test_calls_are_answered_in_the_run(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_writes(influxdb3_local, table_batches, args):
            line = LineBuilder("m").int64_field("f", 1)
            influxdb3_local.write_sync(line, no_sync=True)
            influxdb3_local.write_sync_to_db("other", line, False)
            rows = influxdb3_local.query("select 1", {"n": 90, "x": None}, database="d")
            influxdb3_local.warn(rows)
            try:
                influxdb3_local.query(query="bad")
            except QueryError as error:
                influxdb3_local.warn(type(error).__name__, error)
            try:
                influxdb3_local.write_sync(line, False)
            except Exception as error:
                influxdb3_local.warn(type(error).__name__, error)
        """)
    answers = iter(
        [
            m.DoneReply(),
            m.DoneReply(),
            m.QueryReply(ROWS),
            m.FaultReply(Fault("query_rejected", "error: not found")),
            m.FaultReply(Fault("x", "error writing line protocol to db: Cannot write: y")),
        ]
    )

    finished = lane.run(WAL, lambda _: next(answers))

    assert finished.result.fault is None
    assert finished.calls == [
        m.WriteCall(None, "m f=1i", True),
        m.WriteCall("other", "m f=1i", False),
        m.QueryCall("select 1", {"n": 90, "x": None}, "d"),
        m.QueryCall("bad", None, None),
        m.WriteCall(None, "m f=1i", False),
    ]
    assert lane.texts("WARN") == [
        "[{'host': 'a', 'load': 1.5, 'time': 10}, {'host': 'b', 'load': None, 'time': 20}]",
        "QueryError error: not found",
        "Exception error writing line protocol to db: Cannot write: y",
    ]


def test_an_exception_drops_the_lines_and_shows_the_plugins_frames(lane) -> None:  # noqa: ANN001
    lane.load("""
        def inner():
            raise KeyError("gone")
        def process_writes(influxdb3_local, table_batches, args):
            influxdb3_local.write(LineBuilder("m").int64_field("f", 1))
            inner()
        """)

    finished = lane.run(WAL)

    assert finished.lines == []
    assert (finished.fault.code, finished.fault.message) == ("plugin_raised", "KeyError: 'gone'")
    assert finished.fault.traceback.splitlines()[1:3] == [
        '  File "<string>", line 6, in process_writes',
        "    inner()",
    ]
    assert "invocation" not in finished.fault.traceback


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
        ("raise AssertionError", "AssertionError: "),
        (
            "raise type('Mute', (Exception,), {'__str__': lambda self: exit()})",
            "Mute: <exception str() failed>",
        ),
        (
            "LineBuilder('m').build()",
            "InvalidLineError: At least one field is required: m",
        ),
        (
            "influxdb3_local.write('m f=1')",
            "AttributeError: 'str' object has no attribute 'build'",
        ),
        ("influxdb3_local.extra = 1", "AttributeError: 'Local' object has no attribute 'extra'"),
        (
            "influxdb3_local.write_to_db('_internal', LineBuilder('m').int64_field('f', 1))",
            "Exception: plugins cannot write to the database _internal",
        ),
        (
            "influxdb3_local.query('q', {'a': []})",
            (
                "TypeError: argument 'args': the value of 'a' must be None, bool, int, float or "
                "str, not list"
            ),
        ),
    ],
)
def test_what_a_plugin_raises_is_told_as_type_and_text(lane, body: str, message: str) -> None:  # noqa: ANN001
    lane.load(f"def process_writes(influxdb3_local, table_batches, args):\n    {body}")

    got = lane.run(WAL).fault.message
    assert got.removesuffix(" and no __dict__ for setting new attributes") == message


@pytest.mark.parametrize(
    ("event", "text", "message"),
    [
        (
            WAL,
            "x = 1",
            (
                "the process_writes function is not present in the plugin. Should be defined as: "
                "process_writes(influxdb3_local, table_batches, args=None)"
            ),
        ),
        (
            REQUEST,
            "",
            (
                "the process_request function is not present in the plugin. Should be defined as: "
                "process_request(influxdb3_local, query_parameters, request_headers, request_body, "
                "args=None) -> Tuple[str, Optional[Dict[str, str]]]"
            ),
        ),
        (WAL, "x = 1\n  y = 2", "IndentationError: unexpected indent (<string>, line 2)"),
        (WAL, "import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        (
            WAL,
            "def process_writes(a, b): pass",
            "TypeError: process_writes() takes 2 positional arguments but 3 were given",
        ),
        (
            REQUEST,
            "def process_request(*args): raise ValueError('x')",
            "Python function call failed: ValueError: x",
        ),
        (
            REQUEST,
            "def process_request(*args): pass",
            "Unsupported return type from Python function",
        ),
    ],
)
def test_core_texts_of_plugins_that_cannot_run(
    lane, event: m.Message, text: str, message: str  # noqa: ANN001
) -> None:  # fmt: skip
    lane.load(text)

    assert lane.run(event).fault.message == message


def test_a_single_file_starts_anew_for_each_event(lane) -> None:  # noqa: ANN001
    lane.load("""
        import dataclasses
        count = 0
        @dataclasses.dataclass
        class Point:
            x: int = 1
        def process_writes(influxdb3_local, table_batches, args):
            global count
            count += 1
            influxdb3_local.warn(count, Point(), __name__, "__file__" in globals())
        """)

    lane.run(WAL)
    lane.run(WAL)

    assert lane.texts("WARN") == ["1 Point(x=1) builtins False"] * 2


def test_a_crash_ends_the_process_with_its_status(lane) -> None:  # noqa: ANN001
    lane.load("import os\nprint('last words')\nos._exit(3)")
    lane.say(WAL)

    assert lane.process.wait(20) == 3
    assert "last words" in lane.stderr()


def test_cancel_raises_at_the_next_call_only(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_writes(influxdb3_local, table_batches, args):
            try:
                while True:
                    influxdb3_local.cache.get("x")
                    influxdb3_local.info("turn")
            except Exception:
                pass
        """)
    lane.say(WAL)
    while lane.texts("INFO")[-1:] != ["turn"]:
        lane.note()
    lane.say(m.Cancel())

    finished = lane.finish()
    lane.load("def process_writes(influxdb3_local, b, a): influxdb3_local.info('again')")

    assert finished.fault.code == "cancelled"
    assert finished.fault.message == (
        "KeyboardInterrupt: influxdb3 is shutting down; aborting plugin execution"
    )
    assert lane.run(WAL).result.fault is None


def test_threads_of_the_plugin_log_after_the_run_but_cannot_write(lane) -> None:  # noqa: ANN001
    lane.load("""
        import threading
        def process_writes(influxdb3_local, table_batches, args):
            ended = threading.Event()
            influxdb3_local.cache.put("ended", ended)
            def later():
                ended.wait()
                influxdb3_local.cache.put("own", 1)
                for attempt in (lambda: influxdb3_local.query("q"),
                                lambda: influxdb3_local.cache.get("k", use_global=True),
                                lambda: influxdb3_local.write(None)):
                    try:
                        attempt()
                    except RuntimeError as error:
                        influxdb3_local.error(error)
            threading.Thread(target=later).start()
        def process_scheduled_call(influxdb3_local, call_time, args):
            influxdb3_local.cache.get("ended").set()
        """)
    lane.run(WAL)
    lane.run(TICK)

    while len(lane.texts("ERROR")) < 3:
        lane.note()

    assert set(lane.texts("ERROR")) <= {
        "the run has ended, so it can neither write nor query",
        "the run has ended",
    }


def test_lanes_share_the_cache_and_run_at_once(start_worker) -> None:  # noqa: ANN001
    worker = start_worker(lanes=2)
    worker.greet(lane=0)
    worker.greet(lane=1)
    text = """
        import threading
        lock = threading.Lock()
        def process_writes(influxdb3_local, table_batches, args):
            cache = influxdb3_local.cache
            with lock:
                barrier = cache.get("barrier") or threading.Barrier(2)
                cache.put("barrier", barrier)
            influxdb3_local.query("hold")
            cache.get("barrier").wait(10)
        """
    worker.load(text)
    worker.say(WAL, 0)
    assert worker.next(0) == m.QueryCall("hold", None, None)
    worker.say(WAL, 1)
    assert worker.next(1) == m.QueryCall("hold", None, None)

    for lane in (0, 1):
        worker.say(m.QueryReply(m.Block("", 0, ())), lane)

    assert [worker.finish(lane=lane).result.fault for lane in (0, 1)] == [None, None]


def test_a_worker_ignores_an_interrupt_of_the_terminal(lane) -> None:  # noqa: ANN001
    lane.process.send_signal(signal.SIGINT)
    lane.load("def process_writes(a, b, c): pass")

    assert lane.run(WAL).result.fault is None


def test_threads_of_the_plugin_take_turns_with_calls(lane) -> None:  # noqa: ANN001
    lane.load("""
        from concurrent.futures import ThreadPoolExecutor
        def process_writes(influxdb3_local, table_batches, args):
            def ask(number):
                influxdb3_local.info("asking", number)
                return influxdb3_local.query(f"q{number}")[0]["n"]
            with ThreadPoolExecutor(8) as pool:
                numbers = list(pool.map(ask, range(50)))
            influxdb3_local.warn(numbers == list(range(50)))
        """)

    def answer(call: m.Message) -> m.Message:
        assert isinstance(call, m.QueryCall)
        number = struct.pack("<q", int(call.sql[1:]))
        return m.QueryReply(m.Block("", 1, (m.BlockColumn("n", "q", number),)))

    finished = lane.run(WAL, answer)

    assert finished.result.fault is None
    assert lane.texts("WARN") == ["True"]
    assert len([text for text in lane.texts("INFO") if text.startswith("asking")]) == 50


def test_a_worker_ends_with_the_thread_that_started_it(start_worker) -> None:  # noqa: ANN001
    started = []

    def start() -> None:
        started.append(start_worker())
        started[0].greet()

    starter = threading.Thread(target=start)
    starter.start()
    starter.join()

    assert started[0].process.wait(20) == -signal.SIGKILL


def test_many_values_come_back_to_a_new_worker(start_worker) -> None:  # noqa: ANN001
    worker = start_worker()

    worker.greet(*(m.Restore(f"k{i}", b"N.", None) for i in range(5000)))

    assert worker.stop() == 0


def test_an_answer_that_is_too_large_ends_the_run_only(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(*args):
            return b"x" * ((256 << 20) + 1)
        def process_writes(*args): pass
        """)

    assert "over the limit" in lane.run(REQUEST).fault.message
    assert lane.run(WAL).result.fault is None


def test_a_stop_is_not_held_up_by_threads_left_behind(lane) -> None:  # noqa: ANN001
    lane.load("""
        import atexit, threading
        def process_writes(influxdb3_local, table_batches, args):
            threading.Thread(target=threading.Event().wait).start()
            atexit.register(print, "at exit")
        """)
    lane.run(WAL)

    assert lane.stop() == 0
    assert "at exit" in lane.stderr()


def test_a_worker_whose_engine_ends_before_it_is_admitted_ends_too(
    runtime_dir: Path, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(runtime_dir), "99"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=tmp_path,
        timeout=30,
    )

    assert ended.returncode == 125
