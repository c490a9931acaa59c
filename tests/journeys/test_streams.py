"""Streams of request plugins through a real server: timing, failures, clients that leave."""

from __future__ import annotations

import http.client
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requesting import ENGINE, TRIGGERS, Gate, add, opened
from tests.serving import Server, common_folder, eventually, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("streams")) as server:
        server.create_database("db")
        yield server


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate.make(tmp_path)


ENDLESS = """
def process_request(*args):
    while True:
        yield "x" * 1000
"""
GATED = """
def process_request(influxdb3_local, query, headers, body, args):
    influxdb3_local.write(LineBuilder("streamed").int64_field("n", 1))
    yield "first"
    open(args["gate"]).read()
    influxdb3_local.write(LineBuilder("streamed").tag("t", "2").int64_field("n", 2))
    yield "last"
"""


def test_the_first_part_arrives_before_the_last_is_made(served: Server, gate: Gate) -> None:
    arguments = {"gate": str(gate.path)}
    add(served, "gated", GATED, arguments=arguments, settings={"grants": [gate.grant]})

    with opened(served, "gated") as answer:
        assert answer.read1(100) == b"first"
        assert served.count("db", "streamed") == 0
        gate.let_go()  # the plugin could not have gone on before
        assert answer.read() == b"last"
        assert served.count("db", "streamed") == 2


def test_the_lines_of_a_stream_are_there_when_it_has_arrived(served: Server) -> None:
    add(
        served,
        "prompt",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder('prompt').int64_field('n', 1))
            yield 'only'
        """,
    )

    for run in range(1, 6):
        with opened(served, "prompt") as answer:
            assert answer.read() == b"only"
        assert served.count("db", "prompt") == run


def test_a_stream_that_fails_breaks_the_connection_and_leaves_no_lines(served: Server) -> None:
    add(
        served,
        "breaking",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder('broken').int64_field('n', 1))
            yield 'first'
            raise ValueError('half way')
        """,
    )

    with opened(served, "breaking") as answer:
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead) as cut:
            answer.read()

    assert cut.value.partial == b"first"
    [error] = eventually(lambda: served.logs("db", "breaking", "ERROR"))
    assert "ValueError: half way" in error
    assert "Traceback" in error
    assert served.count("db", "broken") == 0


def test_a_refused_line_breaks_the_stream_that_wrote_it(served: Server) -> None:
    add(
        served,
        "refused",
        """
        class Bad:
            def build(self):
                return 'no line'
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(Bad())
            yield 'first'
        """,
    )

    with opened(served, "refused") as answer, pytest.raises(http.client.IncompleteRead):
        answer.read()

    assert eventually(lambda: served.logs("db", "refused", "ERROR"))


def test_a_client_that_leaves_ends_the_run(served: Server) -> None:
    add(
        served,
        "endless",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder('endless').int64_field('n', 1))
            influxdb3_local.cache.put('ended', False)
            try:
                while True:
                    yield 'x' * 1000
            finally:
                influxdb3_local.cache.put('ended', True)
        """,
    )

    with opened(served, "endless") as answer:
        assert answer.read(100_000)

    [error] = eventually(lambda: served.logs("db", "endless", "ERROR"))
    assert "the client left" in error
    assert served.count("db", "endless") == 0
    ended = """
        def process_request(influxdb3_local, *rest):
            return [influxdb3_local.cache.get('ended')]
        """
    served.plugin("endless.py", textwrap.dedent(ended))
    assert served.request("GET", ENGINE + "endless").json() == [True]


def test_a_client_that_leaves_interrupts_the_next_call(served: Server, gate: Gate) -> None:
    add(
        served,
        "interrupted",
        """
        def process_request(influxdb3_local, query, headers, body, args):
            yield 'first'
            open(args['gate']).read()
            while True:
                influxdb3_local.query('SELECT 1')
        """,
        arguments={"gate": str(gate.path)},
        settings={"grants": [gate.grant]},
    )

    with opened(served, "interrupted") as answer:
        assert answer.read1(100) == b"first"
    gate.let_go()

    [error] = eventually(lambda: served.logs("db", "interrupted", "ERROR"))
    assert "the client left" in error
    assert "KeyboardInterrupt" in error


def test_a_slow_client_makes_the_plugin_wait(served: Server, tmp_path: Path) -> None:
    made = common_folder(tmp_path) / "made"
    add(
        served,
        "slow",
        """
        def process_request(influxdb3_local, query, headers, body, args):
            for number in range(64):
                open(args['made'], 'a').write('x')
                yield bytes(1 << 20)
        """,
        arguments={"made": str(made)},
        settings={"grants": [f"write={made.parent}"]},
    )

    with opened(served, "slow") as answer:
        answer.read(1)
        # The plugin's thread stands still once all buffers on the way are full.
        seen = eventually(lambda: _is_still(made), every_s=0.5)
        assert seen < 32
        assert len(answer.read()) == (64 << 20) - 1


def _is_still(file: Path) -> int:
    """Return the size of a file that has not grown since the last look, else 0."""
    size = file.stat().st_size
    before, _SIZES[file] = _SIZES.get(file), size
    return size if before == size else 0


_SIZES: dict[Path, int] = {}


def test_streams_of_an_asynchronous_trigger_run_side_by_side(
    served: Server, tmp_path: Path
) -> None:
    gates = {name: Gate.make(tmp_path / name) for name in ("one", "two")}
    code = """
        def process_request(influxdb3_local, query, headers, body, args):
            yield query["gate"]
            open(args[query["gate"]]).read()
            yield " done"
        """
    arguments = {name: str(gate.path) for name, gate in gates.items()}
    settings = {"run_async": True, "grants": [gate.grant for gate in gates.values()]}
    add(served, "beside", code, arguments=arguments, settings=settings)

    with opened(served, "beside?gate=one") as one, opened(served, "beside?gate=two") as two:
        assert (one.read1(9), two.read1(9)) == (b"one", b"two")
        gates["two"].let_go()
        assert two.read() == b" done"
        gates["one"].let_go()
        assert one.read() == b" done"


def test_disabling_the_trigger_breaks_its_stream(served: Server) -> None:
    add(served, "disabled", ENDLESS)

    with opened(served, "disabled") as answer:
        answer.read(10)
        off = served.request(
            "POST", TRIGGERS + "/disable", "", None, db="db", trigger_name="disabled"
        )
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()

    assert off.status == 200


def test_a_server_that_is_stopped_breaks_its_streams_and_ends(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        add(server, "running", ENDLESS)
        with opened(server, "running") as answer:
            answer.read(10)

            assert server.stop(20.0) == 0
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()
