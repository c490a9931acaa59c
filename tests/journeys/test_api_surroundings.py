"""What plugins find around them: variables, folders, streams, threads, the server itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.probing import Probe
from tests.requesting import ENGINE, add
from tests.serving import Server, eventually, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("around")) as running:
        running.create_database("db")
        yield running


@pytest.fixture(scope="module")
def probe(server: Server) -> Probe:
    return Probe.add(server)


def test_a_plugin_finds_its_folder_and_the_time_of_the_world(server: Server, probe: Probe) -> None:
    seen = probe.run(
        """
        import os, sys, time
        names = ("PLUGIN_DIR", "INFLUXDB3_PLUGIN_DIR", "TZ")
        result = [*map(os.environ.get, names), time.tzname[0], os.environ["VIRTUAL_ENV"]]
        result.append([len(sys.argv), sys.stdin.read()])
        """
    )

    plugins = str(server.plugins)
    assert seen[:4] == [plugins, plugins, "UTC", "UTC"]
    assert Path(seen[4]).is_dir()
    assert seen[5] == [1, ""]


def test_a_plugin_may_keep_files_in_the_plugin_folder(server: Server, probe: Probe) -> None:
    probe.run(
        """
        import os, pathlib
        pathlib.Path(os.environ["PLUGIN_DIR"], "queue.txt").write_text("kept")
        """
    )

    assert (server.plugins / "queue.txt").read_text() == "kept"


def test_what_is_printed_goes_to_the_servers_output_only(server: Server, probe: Probe) -> None:
    probe.run("import sys; print('to stdout'); print('to stderr', file=sys.stderr)")

    for text in ("to stdout", "to stderr"):
        eventually(lambda t=text: any(t in each for each in server.output))
        assert not [line for line in server.logs("db", "probe") if text in line]


def test_the_current_folder_is_the_plugin_folder(server: Server, probe: Probe) -> None:
    assert probe.run("import os; result = os.getcwd()") == str(server.plugins)


def test_a_plugin_may_start_processes(probe: Probe) -> None:
    seen = probe.run(
        """
        import multiprocessing, subprocess, sys
        fork = multiprocessing.get_context("fork")
        queue = fork.Queue()
        child = fork.Process(target=lambda: queue.put("forked"))
        child.start()
        result = [queue.get(timeout=10)]
        child.join()
        command = [sys.executable, "-c", "print('started')"]
        result.append(subprocess.run(command, capture_output=True, text=True).stdout)
        """
    )

    assert seen == ["forked", "started\n"]


def test_what_can_be_pickled_comes_back_as_it_was_after_a_death(
    server: Server, probe: Probe
) -> None:
    kept = "{'d': deque([1, 2], maxlen=5), 't': datetime.timedelta(seconds=3)}"
    pid = probe.run(
        """
        import os
        from collections import deque
        from datetime import timedelta
        influxdb3_local.cache.put("kept", {"d": deque([1, 2], 5), "t": timedelta(seconds=3)})
        result = os.getpid()
        """
    )
    probe.run("result = 'the copies of the run before are on their way first'")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.request("POST", f"{ENGINE}probe", "").status == 200)

    assert probe.value("repr(influxdb3_local.cache.get('kept'))") == kept


def test_threads_pools_and_event_loops_work(probe: Probe) -> None:
    seen = probe.run(
        """
        import asyncio, concurrent.futures, threading
        async def later():
            await asyncio.sleep(0)
            return 1
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            ask = lambda n: influxdb3_local.query("SELECT $n AS v", {"n": n})[0]["v"]
            asked = sorted(pool.map(ask, range(20)))
        result = [asyncio.run(later()), asked == list(range(20))]
        result.append(threading.current_thread() is threading.main_thread())
        """
    )

    assert seen == [1, True, True]


def test_a_plugin_may_ask_its_own_server_while_it_runs(server: Server, probe: Probe) -> None:
    add(
        server,
        "inner",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder("inner").int64_field("v", 1))
            return "from inside"
        """,
    )

    port = urlsplit(server.url).port
    text = probe.run(
        f"""
        from urllib.request import urlopen
        with urlopen("http://localhost:{port}{ENGINE}inner", data=b"", timeout=20) as answer:
            result = answer.read().decode()
        """
    )

    assert text == "from inside"
    assert server.count("db", "inner") == 1


def test_the_errors_of_the_api_are_builtin_names(probe: Probe) -> None:
    caught = probe.run(
        """
        import __main__, builtins
        result = []
        for code, kind in [
            ("LineBuilder('a b')", InvalidMeasurementError),
            ("LineBuilder('m').tag('', 'x')", InvalidKeyError),
            ("LineBuilder('m').build()", InvalidLineError),
        ]:
            try:
                eval(code)
            except InfluxDBError as error:
                result.append(type(error) is kind)
        result.append(__main__.InvalidKeyError is builtins.InvalidKeyError)
        """
    )

    assert caught == [True] * 4
