"""What the public plugins do, in the sandbox as it is by default and with the grants that it takes.

Real packages are installed once, for all tests of this file.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Answer, Server, eventually, serving

pytestmark = pytest.mark.slow

PACKAGES = ["numpy", "pandas<3", "requests", "httpx", "psutil", "pydantic"]
HEAD = """\
def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
"""

A_THREAD_IN_THE_CACHE = """\
import queue, threading

class Sampler:
    def __init__(self):
        self.asked, self.answers = queue.Queue(), queue.Queue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for number in iter(self.asked.get, None):
            self.answers.put(number * 2)

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    sampler = influxdb3_local.cache.get("sampler")
    if sampler is None:
        sampler = Sampler()
        influxdb3_local.cache.put("sampler", sampler)
    sampler.asked.put(int(query_parameters["n"]))
    return {"answer": sampler.answers.get(timeout=5), "thread": sampler.thread.ident}
"""
A_LOOP_IN_A_THREAD = """\
import asyncio, threading

async def double(number):
    await asyncio.sleep(0.001)
    return number * 2

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    loop = influxdb3_local.cache.get("loop")
    if loop is None:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        influxdb3_local.cache.put("loop", loop)
    future = asyncio.run_coroutine_threadsafe(double(int(query_parameters["n"])), loop)
    return {"answer": future.result(5), "loop": id(loop)}
"""
POOLS = """\
import asyncio
from concurrent.futures import ThreadPoolExecutor, as_completed

async def both():
    return await asyncio.gather(asyncio.to_thread(pow, 2, 5), asyncio.sleep(0.001, "slept"))

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    with ThreadPoolExecutor(max_workers=8) as pool:
        futures = [pool.submit(pow, number, 2) for number in range(20)]
        squares = sorted(future.result() for future in as_completed(futures))
    return {"squares": sum(squares), "both": asyncio.run(both())}
"""
SYSTEM_METRICS = """\
import os, psutil

def collect(influxdb3_local, host):
    freq, stats, load = psutil.cpu_freq(percpu=False), psutil.cpu_stats(), psutil.getloadavg()
    times, memory, swap = psutil.cpu_times_percent(), psutil.virtual_memory(), psutil.swap_memory()
    line = LineBuilder("system_cpu").tag("host", host).float64_field("user", times.user)
    line.float64_field("frequency", getattr(freq, "current", 0)).float64_field("load1", load[0])
    influxdb3_local.write(line.uint64_field("ctx_switches", stats.ctx_switches))
    per_core = psutil.cpu_percent(interval=None, percpu=True)
    psutil.cpu_times(), psutil.cpu_times_percent(percpu=True), psutil.cpu_freq(percpu=True)
    for core, usage in enumerate(per_core):
        line = LineBuilder("system_cpu_cores").tag("host", host).tag("core", str(core))
        influxdb3_local.write(line.float64_field("usage", usage))
    line = LineBuilder("system_memory").tag("host", host).uint64_field("total", memory.total)
    influxdb3_local.write(line.uint64_field("swap", swap.total))
    psutil.Process().memory_full_info()
    for partition in psutil.disk_partitions(all=False):
        usage = psutil.disk_usage(partition.mountpoint)
        line = LineBuilder("system_disk_usage").tag("mountpoint", partition.mountpoint)
        influxdb3_local.write(line.float64_field("percent", usage.percent))
    for disk, counts in psutil.disk_io_counters(perdisk=True).items():
        line = LineBuilder("system_disk_io").tag("device", disk)
        influxdb3_local.write(line.uint64_field("reads", counts.read_count))
    for interface, counts in psutil.net_io_counters(pernic=True).items():
        line = LineBuilder("system_network").tag("interface", interface)
        influxdb3_local.write(line.uint64_field("bytes_sent", counts.bytes_sent))

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    collect(influxdb3_local, os.uname().nodename)
    assert psutil.cpu_count() and psutil.cpu_count(logical=False) and psutil.boot_time()
    assert psutil.disk_usage("/").total and psutil.disk_usage(os.environ["PLUGIN_DIR"]).total
    psutil.disk_io_counters(), psutil.net_io_counters(), psutil.users()
    psutil.sensors_temperatures(), psutil.sensors_fans(), psutil.sensors_battery()
    return [p.info for p in psutil.process_iter(["pid", "name", "cpu_percent", "memory_percent"])]
"""
FRAMES = """\
import numpy, pandas

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    rows = influxdb3_local.query("SELECT room, degrees, time FROM climate ORDER BY time")
    frame = pandas.DataFrame(rows)
    frame["time"] = pandas.to_datetime(frame["time"])
    means = frame.set_index("time").groupby("room")["degrees"].resample("1min").mean().dropna()
    matrix = numpy.random.default_rng(1).normal(size=(200, 200))
    numpy.linalg.svd(matrix @ matrix.T)
    return {"means": [round(float(mean), 2) for mean in means], "rows": len(frame)}
"""
SCRATCH = """\
import sqlite3, tempfile, pathlib, pydantic

class Reading(pydantic.BaseModel):
    room: str
    degrees: float

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    reading = Reading.model_validate_json('{"room": "attic", "degrees": "31.5"}')
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100_000)
        path = pathlib.Path(folder, "work.db")
        with sqlite3.connect(path) as base:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("CREATE TABLE t (room TEXT, degrees REAL)")
            base.execute("INSERT INTO t VALUES (?, ?)", (reading.room, reading.degrees))
        found = base.execute("SELECT room, degrees FROM t").fetchall()
        base.close()
    return {"found": found, "temporary": tempfile.gettempdir()}
"""
# As the replicator does: its queue lies in the plugin folder, its settings beside the plugin.
QUEUE = """\
import gzip, json, os, pathlib, tomllib

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    folder = pathlib.Path(os.environ["PLUGIN_DIR"])
    settings = tomllib.loads((folder / "queue.toml").read_text())
    queue = folder / settings["file"]
    if "die" in query_parameters:
        os._exit(3)
    with gzip.open(queue, "at") as lines:
        lines.write(json.dumps({"n": query_parameters["n"]}) + "\\n")
    with gzip.open(queue, "rt") as lines:
        kept = [json.loads(line)["n"] for line in lines]
    beside = pathlib.Path(os.environ["VIRTUAL_ENV"]).parent / "queue.toml"
    return {"kept": kept, "beside_environment": beside.exists(), "pid": os.getpid()}
"""
POST = """\
import asyncio, urllib.request, httpx, requests

async def by_httpx(url):
    async with httpx.AsyncClient() as client:
        return (await client.post(url, json={"by": "httpx"})).text

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    url = args["url"]
    with urllib.request.urlopen(url, data=b"by urllib", timeout=10) as answer:
        heard = [answer.read().decode()]
    heard.append(requests.post(url, json={"by": "requests"}, timeout=10).text)
    with requests.Session() as session:
        heard.extend(session.post(url, data=str(n), timeout=10).text for n in range(3))
    heard.append(httpx.post(url, content=b"by httpx").text)
    return [*heard, asyncio.run(by_httpx(url))]
"""
ECHO = HEAD + "    return request_body.decode()\n"
HEARD = ["by urllib", '{"by": "requests"}', "0", "1", "2", "by httpx", '{"by":"httpx"}']
PROCESSES = """\
import multiprocessing, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    said = subprocess.run(["/bin/echo", "hi"], capture_output=True, text=True, check=True).stdout
    code = [sys.executable, "-c", "import numpy; print(numpy.array([1, 2]).sum())"]
    summed = subprocess.check_output(code, text=True)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        squares = list(pool.map(abs, [-1, -2]))
    with multiprocessing.get_context("spawn").Pool(1) as spawned:
        spawned_too = spawned.map(abs, [-3])
    shared = shared_memory.SharedMemory(create=True, size=4096)
    shared.buf[0] = 7
    shared.close()
    shared.unlink()
    return [said.strip(), summed.strip(), squares, spawned_too]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("patterns")) as running:
        running.create_database("db")
        path = "/api/v3/configure/plugin_environment/install_packages"
        answer = running.post_json(path, {"packages": PACKAGES})
        assert answer.status == 200, answer.text
        yield running


def create(server: Server, name: str, code: str, grants: list[str], **args: str) -> None:
    server.plugin(f"{name}.py", code)
    document = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": f"request:{name}",
        "plugin_filename": f"{name}.py",
        "trigger_settings": {
            "run_async": False,
            "error_behavior": "log",
            "grants": grants,
        },
        "trigger_arguments": args or None,
        "disabled": False,
    }
    answer = server.post_json("/api/v3/configure/processing_engine_trigger", document)
    assert answer.status == 200, answer.text


def ask(server: Server, name: str, **query: object) -> Any:  # noqa: ANN401  whatever it says
    answer = server.request("GET", f"/api/v3/engine/{name}", **query)
    assert answer.status == 200, answer.text
    return answer.json()


def test_a_thread_and_a_loop_that_are_kept_in_the_cache_go_on(server: Server) -> None:
    create(server, "thread", A_THREAD_IN_THE_CACHE, [])
    create(server, "loop", A_LOOP_IN_A_THREAD, [])

    for name, mark in (("thread", "thread"), ("loop", "loop")):
        answers = [ask(server, name, n=number) for number in (1, 2, 3)]
        assert [answer["answer"] for answer in answers] == [2, 4, 6]
        assert len({answer[mark] for answer in answers}) == 1


def test_pools_of_threads_and_asyncio_work(server: Server) -> None:
    create(server, "pools", POOLS, [])

    assert ask(server, "pools") == {"squares": 2470, "both": [32, "slept"]}


def test_what_system_metrics_asks_of_psutil_never_raises(server: Server) -> None:
    create(server, "metrics", SYSTEM_METRICS, [])

    seen = ask(server, "metrics")

    assert len(seen) <= 2  # bubblewrap and itself: nobody else's
    for table in ("cpu", "cpu_cores", "memory", "disk_usage", "disk_io", "network"):
        assert server.count("db", f"system_{table}") > 0, table


def test_numpy_and_pandas_compute_on_rows_of_the_server(server: Server) -> None:
    lines = [
        f"climate,room={room} degrees={degrees} {minute * 60_000_000_000}"
        for minute in range(4)
        for room, degrees in (("attic", 30 + minute), ("cellar", 12))
    ]
    assert server.write("db", "\n".join(lines)).status == 204
    create(server, "frames", FRAMES, [])

    means = [30, 31, 32, 33, 12, 12, 12, 12]
    assert ask(server, "frames") == {"means": means, "rows": 8}


def test_temporary_files_and_sqlite_work(server: Server) -> None:
    create(server, "scratch", SCRATCH, [])

    answer = ask(server, "scratch")

    assert answer["found"] == [["attic", 31.5]]
    private = server.data / "node0" / "private"
    assert answer["temporary"] == "/tmp" or Path(answer["temporary"]).is_relative_to(private)


def test_programs_and_processes_take_a_grant(server: Server) -> None:
    create(server, "granted", PROCESSES, ["subprocess"])
    create(server, "refused", PROCESSES, [])

    assert ask(server, "granted") == ["hi", "3", [1, 2], [3]]
    refused = server.request("GET", "/api/v3/engine/refused")
    assert (refused.status, "PermissionError" in refused.text) == (500, True)


class _Host(BaseHTTPRequestHandler):
    """A host that answers with what it is sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[int]:
    """A host on this machine, by its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Host) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


def test_clients_reach_this_server_and_a_granted_address_during_a_run(
    server: Server, host: int
) -> None:
    create(server, "echo", ECHO, [])
    own = int(server.url.rpartition(":")[2])
    url = f"http://localhost:{own}/api/v3/engine/echo"
    create(server, "to_self", POST, ["net=self"], url=url)
    literal = f"127.0.0.1:{host}"
    create(server, "to_host", POST, [f"net={literal}"], url=f"http://{literal}/hook")

    assert ask(server, "to_self") == HEARD
    assert ask(server, "to_host") == HEARD


def test_a_name_that_leads_to_this_machine_is_refused_and_the_log_says_why(
    server: Server, host: int
) -> None:
    url = f"http://localhost:{host}/hook"
    create(server, "by_name", POST, [f"net=localhost:{host}"], url=url)

    refused = server.request("GET", "/api/v3/engine/by_name")

    assert (refused.status, "403" in refused.text) == (500, True)
    [warning, *_] = server.logs("db", "by_name", "WARN")
    assert f"refused localhost:{host}: localhost has " in warning
    assert "which is loopback; missing grant net=" in warning


def test_a_queue_beside_settings_outlives_the_worker_and_the_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.plugin("queue.toml", 'file = "edr_queue.jsonl.gz"\n')
    try:
        server.start()
        server.create_database("db")
        create(server, "queue", QUEUE, [])
        first = ask(server, "queue", n=1)
        assert server.request("GET", "/api/v3/engine/queue", die=1).status == 502
        second = _answered(server, n=2)
        server.kill()
        server.start()
        third = ask(server, "queue", n=3)
    finally:
        server.close()

    assert [first["kept"], second["kept"], third["kept"]] == [["1"], ["1", "2"], ["1", "2", "3"]]
    assert first["beside_environment"]
    assert not (server.plugins / "edr_queue.jsonl.gz").exists()
    assert len(list(server.data.glob("node0/private/*/edr_queue.jsonl.gz"))) == 1


def _answered(server: Server, **query: object) -> Any:  # noqa: ANN401  whatever it says
    def look() -> Answer | None:
        answer = server.request("GET", "/api/v3/engine/queue", **query)
        return answer if answer.status == 200 else None

    answer = eventually(look)
    assert answer is not None
    return json.loads(answer.body)
