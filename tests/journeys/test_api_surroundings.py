"""What plugins find around them: variables, folders, streams, threads, the server itself."""

from __future__ import annotations

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


@pytest.fixture
def unconfined(tmp_path: Path) -> Iterator[Probe]:
    """A plugin of a server without a sandbox."""
    with serving(tmp_path, "--sandbox", "off") as running:
        running.create_database("db")
        yield Probe.add(running)


_FOLDERS = """
import os
names = ("PLUGIN_DIR", "INFLUXDB3_PLUGIN_DIR", "HOME")
result = [*map(os.environ.get, names), os.getcwd()]
"""
_KEEP = """
import os, pathlib
pathlib.Path(os.environ["PLUGIN_DIR"], "queue.txt").write_text("kept")
result = os.environ["PLUGIN_DIR"]
"""


def test_a_plugin_finds_a_folder_of_its_own_and_is_there(server: Server, probe: Probe) -> None:
    folders = set(probe.run(_FOLDERS))
    others = set(Probe.add(server, name="other").run(_FOLDERS))

    [own], [of_other] = folders, others
    assert own != of_other
    assert Path(own).parent == server.data / "node0" / "private"
    assert Path(own).is_dir()


def test_without_a_sandbox_it_is_the_plugin_folder(unconfined: Probe) -> None:
    plugins = str(unconfined.server.plugins)

    assert unconfined.run(_FOLDERS) == [plugins] * 4


def test_a_plugin_finds_the_time_of_the_world_and_no_input(probe: Probe) -> None:
    seen = probe.run(
        """
        import os, sys, time
        result = [os.environ["TZ"], time.tzname[0], os.environ["VIRTUAL_ENV"]]
        result.append([len(sys.argv), sys.stdin.read()])
        """
    )

    assert seen[:2] == ["UTC", "UTC"]
    assert Path(seen[2]).is_dir()
    assert seen[3] == [1, ""]


def test_what_a_plugin_keeps_in_its_folder_outlives_its_process(
    server: Server, probe: Probe
) -> None:
    folder = probe.run(_KEEP)

    assert Path(folder, "queue.txt").read_text() == "kept"
    assert not (server.plugins / "queue.txt").exists()
    _kill(probe)
    look = "import os; result = open(os.environ['PLUGIN_DIR'] + '/queue.txt').read()"
    assert probe.run(look) == "kept"


def test_without_a_sandbox_a_plugin_may_keep_files_in_the_plugin_folder(unconfined: Probe) -> None:
    assert unconfined.run(_KEEP) == str(unconfined.server.plugins)

    assert (unconfined.server.plugins / "queue.txt").read_text() == "kept"


def test_what_is_printed_goes_to_the_servers_output_only(server: Server, probe: Probe) -> None:
    probe.run("import sys; print('to stdout'); print('to stderr', file=sys.stderr)")

    for text in ("to stdout", "to stderr"):
        eventually(lambda t=text: any(t in each for each in server.output))
        assert not [line for line in server.logs("db", "probe") if text in line]


def test_a_plugin_that_is_granted_it_may_start_processes(server: Server) -> None:
    seen = Probe.add(server, name="starter", grants=["subprocess"]).run(
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
    probe.run(
        """
        from collections import deque
        from datetime import timedelta
        influxdb3_local.cache.put("kept", {"d": deque([1, 2], 5), "t": timedelta(seconds=3)})
        """
    )
    probe.run("result = 'the copies of the run before are on their way first'")
    _kill(probe)

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


def test_a_plugin_that_is_granted_it_may_ask_its_own_server(server: Server) -> None:
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
    text = Probe.add(server, name="asker", grants=["net=self"]).run(
        f"""
        from urllib.request import urlopen
        with urlopen("http://localhost:{port}{ENGINE}inner", data=b"", timeout=20) as answer:
            result = answer.read().decode()
        """
    )

    assert text == "from inside"
    assert server.count("db", "inner") == 1


def _kill(probe: Probe) -> None:
    """Have the process of a probe end at once, and wait for the next."""
    path = ENGINE + probe.name
    died = probe.server.request("POST", path, "import os; os.kill(os.getpid(), 9)")
    assert died.status == 502, died.text
    assert "SIGKILL" in died.text
    eventually(lambda: probe.server.request("POST", path, "").status == 200)


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
