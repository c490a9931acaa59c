"""What a plugin finds, or brings, of names that the worker uses itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.wire import Fault
from worker.wire import messages as m

WAL = m.WalRun("r1", ())


@pytest.mark.parametrize("name", ["zmq", "msgpack", "worker", "engine"])
def test_a_plugin_without_our_packages_does_not_find_them(start_worker, name: str) -> None:  # noqa: ANN001
    worker = start_worker()
    worker.greet()
    worker.load(f"import {name}\ndef process_writes(a, b, c): pass")

    assert worker.run(WAL).fault.message == f"ModuleNotFoundError: No module named '{name}'"


def test_an_environment_may_bring_modules_of_our_names(start_worker, tmp_path: Path) -> None:  # noqa: ANN001
    site = tmp_path / "site"
    site.mkdir()
    for name in ("zmq", "worker", "engine", "msgpack"):
        (site / f"{name}.py").write_text(f"mine = {name!r}")
    (site / "extra.pth").write_text("import sys; sys.from_pth = 'yes'\n")
    worker = start_worker(site_packages=[site])
    worker.greet()
    worker.load("""
        import engine, msgpack, signal, sys, worker, zmq
        def process_writes(influxdb3_local, table_batches, args):
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            found = [module.mine for module in (zmq, msgpack, worker, engine)]
            influxdb3_local.query("q")
            influxdb3_local.cache.put("k", {"a": (1,)}, use_global=True)
            influxdb3_local.warn(found, sys.from_pth, sys.argv)
        """)

    for _ in range(50):  # signals arrive in every wait
        finished = worker.run(
            WAL,
            lambda call: (
                m.DoneReply()
                if isinstance(call, m.CachePutCall)
                else m.QueryReply(m.Block("", 0, ()))
            ),
        )
        assert finished.result.fault is None

    assert set(worker.texts("WARN")) == {"['zmq', 'msgpack', 'worker', 'engine'] yes ['']"}


def test_a_folder_is_imported_once_and_brings_its_own_json(start_worker, tmp_path: Path) -> None:  # noqa: ANN001
    (tmp_path / "json.py").write_text("mine = 'json beside the folder'")
    (tmp_path / "zmq.py").write_text("mine = 'zmq beside the folder'")
    plugin = tmp_path / "counter"
    plugin.mkdir()
    (plugin / "parts.py").write_text("total = 0")
    (plugin / "__init__.py").write_text(
        "import json, zmq\n"
        "from . import parts\n"
        "def process_writes(influxdb3_local, table_batches, args):\n"
        "    parts.total += 1\n"
        "    influxdb3_local.warn(parts.total, json.mine, zmq.mine, __name__)\n"
        "def process_request(*args): return {'a': 1}\n"
    )
    worker = start_worker()
    worker.greet()
    worker.load_folder(plugin)

    worker.run(WAL)
    worker.run(WAL)
    answer = worker.run(m.RequestRun("r", {}, {}, b"")).result

    beside = "json beside the folder zmq beside the folder counter"
    assert worker.texts("WARN") == [f"1 {beside}", f"2 {beside}"]
    assert answer.response is not None
    assert answer.response.body == b'{"a": 1}'


def test_a_folder_named_like_a_known_module_is_itself(start_worker, tmp_path: Path) -> None:  # noqa: ANN001
    plugin = tmp_path / "pickle"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("def process_writes(local, b, c): local.warn(__file__)")
    worker = start_worker()
    worker.greet()
    worker.load_folder(plugin)

    assert worker.run(WAL).result.fault is None
    assert worker.texts("WARN") == [str(plugin / "__init__.py")]


def test_a_broken_folder_is_tried_again(start_worker, tmp_path: Path) -> None:  # noqa: ANN001
    plugin = tmp_path / "broken"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("from .part import value")
    (plugin / "part.py").write_text("raise ValueError('not yet')")
    worker = start_worker()
    worker.greet()
    worker.load_folder(plugin)

    fault = worker.run(WAL).fault
    (plugin / "part.py").write_text("value = 1")
    (plugin / "__init__.py").write_text("def process_writes(*args): pass")

    assert fault.code == "plugin_invalid"
    assert fault.message == (
        "Failed to import plugin module 'broken': ValueError: not yet\n"
        "Hint: Check for syntax errors or missing dependencies in Python files."
    )
    assert "part.py" in fault.traceback
    assert worker.run(WAL).result.fault is None


def test_main_and_builtins_hold_what_core_puts_there(start_worker) -> None:  # noqa: ANN001
    worker = start_worker()
    worker.greet()
    worker.load("""
        import __main__, pickle
        def process_writes(influxdb3_local, table_batches, args):
            line = pickle.loads(pickle.dumps(LineBuilder("m").int64_field("f", 1)))
            influxdb3_local.warn(line.build(), __main__.InvalidLineError is InvalidLineError)
            influxdb3_local.warn(*[n for n in dir(influxdb3_local) if n[0] != "_"])
            influxdb3_local.warn(*[n for n in dir(influxdb3_local.cache) if n[0] != "_"])
        """)

    assert worker.run(WAL).result.fault is None
    assert worker.texts("WARN") == [
        "m f=1i True",
        "cache error info query warn write write_sync write_sync_to_db write_to_db",
        "delete get put",
    ]


def test_a_forked_child_cannot_speak_for_the_worker(start_worker) -> None:  # noqa: ANN001
    worker = start_worker()
    worker.greet()
    worker.load("""
        import os
        def process_writes(influxdb3_local, table_batches, args):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    influxdb3_local.info("from the child")
                except RuntimeError as error:
                    os.write(writer, str(error).encode())
                return
            os.close(writer)
            influxdb3_local.warn(os.read(reader, 100).decode(), os.waitpid(child, 0)[1])
        """)

    finished = worker.run(WAL)

    assert finished.result == m.Result(None, None)
    assert worker.texts("WARN") == ["influxdb3_local cannot be used in a forked process 256"]
    assert worker.run(m.ScheduledRun("r2", 0)).fault == Fault(
        "plugin_invalid",
        "the process_scheduled_call function is not present in the plugin. Should be defined as: "
        "process_scheduled_call(influxdb3_local, call_time, args=None)",
        "",
    )
