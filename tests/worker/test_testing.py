from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from worker.api import Local
from worker.loader import PluginInvalid
from worker.response import InvalidResponse
from worker.testing import (
    FakeLocal,
    LineBuilder,
    LinesRefused,
    QueryError,
    Scene,
    Write,
    run_request,
    run_schedule,
    run_wal,
)

NOON = datetime(2025, 1, 1, 12, 0, 0, 999)  # noqa: DTZ001 - as plugins get it


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], Path]:
    def write(code: str) -> Path:
        path = tmp_path / "plugin.py"
        path.write_text(textwrap.dedent(code))
        return path

    return write


def line(name: str, value: int = 1) -> LineBuilder:
    return LineBuilder(name).int64_field("v", value)


def refuse_bad(database: str, lines: list[str]) -> None:
    if any(text.startswith("bad") for text in lines):
        raise ValueError("a bad line")


def test_the_attributes_are_those_of_the_real_api() -> None:
    fake = FakeLocal()

    assert dir(fake) == sorted({*dir(Local), "_scene"})
    with pytest.raises(AttributeError):
        fake.debug = print  # type: ignore[attr-defined]


def test_writes_are_kept_in_the_order_of_the_calls() -> None:
    scene = Scene("home")
    local = FakeLocal(scene)

    local.write(line("a"))
    local.write_sync_to_db("other", line("b"))
    local.write_sync(line("c"), no_sync=True)
    local.write_to_db("other", line("d"))

    assert scene.writes == [
        Write("home", "a v=1i", False),
        Write("other", "b v=1i", True),
        Write("home", "c v=1i", True),
        Write("other", "d v=1i", False),
    ]
    assert scene.lines() == ["a v=1i", "c v=1i"]
    assert scene.lines("other") == ["b v=1i", "d v=1i"]


def test_mistakes_raise_what_the_real_api_raises() -> None:
    local: Any = FakeLocal()

    with pytest.raises(TypeError, match="argument 'query': must be str, not int"):
        local.query(1)
    with pytest.raises(AttributeError, match="build"):
        local.write("text")
    with pytest.raises(Exception, match="cannot write to the database _internal"):
        local.write_to_db("_internal", line("a"))


def test_logs_are_kept_as_they_would_be_shown() -> None:
    scene = Scene()
    local = FakeLocal(scene)

    local.info("a", 1)
    local.error()

    assert scene.logs == [("INFO", "a 1"), ("ERROR", "")]


def test_the_first_key_that_occurs_answers_a_query() -> None:
    rows = [{"room": "attic", "degrees": 1.5}, {"room": "hall"}]
    scene = Scene("home", queries={"FROM climate": rows, "FROM": []})

    seen = FakeLocal(scene).query("SELECT * FROM climate", {"least": 1}, "other")

    assert seen == [{"room": "attic", "degrees": 1.5}, {"room": "hall", "degrees": None}]
    assert FakeLocal(scene).query("SELECT 1 FROM x") == []
    question = scene.questions[0]
    assert (question.parameters, question.database) == ({"least": 1}, "other")


def test_a_function_may_answer_queries() -> None:
    def answer(sql: str, parameters: object, database: str) -> list[dict[str, object]]:
        return [{"sql": sql, "database": database}]

    assert FakeLocal(Scene("home", answer)).query("Q") == [{"sql": "Q", "database": "home"}]


def test_a_query_can_fail_as_a_real_one() -> None:
    local = FakeLocal(Scene(queries={"FROM gone": QueryError("no such table")}))

    with pytest.raises(QueryError, match="no such table"):
        local.query("SELECT * FROM gone")


def test_a_query_without_an_answer_names_itself() -> None:
    with pytest.raises(LookupError, match="no answer to the query: SELECT 1"):
        FakeLocal().query("SELECT 1")


@pytest.mark.parametrize("use_global", [False, True])
def test_cached_values_expire_with_the_clock_of_the_scene(use_global: bool) -> None:
    scene = Scene()
    cache = FakeLocal(scene).cache
    cache.put("k", [1], ttl=60, use_global=use_global)

    scene.advance(59.9)
    assert cache.get("k", use_global=use_global) == [1]

    scene.advance(0.2)
    assert cache.get("k", "gone", use_global=use_global) == "gone"


def test_namespaces_of_the_cache_are_apart() -> None:
    cache = FakeLocal().cache
    value = object()
    cache.put("k", value)
    cache.put("k", (1, "a"), use_global=True)

    assert cache.get("k") is value
    assert cache.get("k", use_global=True) == (1, "a")
    assert (cache.delete("k", use_global=True), cache.delete("k", use_global=True)) == (True, False)
    with pytest.raises(TypeError, match="plain data only"):
        cache.put("k", value, use_global=True)


def test_a_file_runs_in_fresh_globals_with_the_builtins(plugin: Callable[[str], Path]) -> None:
    path = plugin(
        """
        calls = []
        def process_writes(influxdb3_local, table_batches, args=None):
            calls.append(1)
            influxdb3_local.info(len(calls), sorted(globals()), table_batches, args)
            influxdb3_local.write(LineBuilder("out").int64_field("n", len(calls)))
        """
    )
    scene = Scene(now_ns=7)

    runs = [run_wal(path, {"t": [{"v": 1}, {"v": 2, "time": 3}]}, scene=scene) for _ in range(2)]

    batches = [{"table_name": "t", "rows": [{"v": 1, "time": 7}, {"v": 2, "time": 3}]}]
    names = ["__builtins__", "calls", "process_writes"]
    assert [run.logs for run in runs] == [(("INFO", f"1 {names} {batches} None"),)] * 2
    assert [run.lines for run in runs] == [["out n=1i"]] * 2


def test_a_folder_is_imported_as_a_package(tmp_path: Path) -> None:
    for home, text in (("one", "first"), ("two", "second")):
        folder = tmp_path / home / "pack"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("from .inner import process_writes\n")
        (folder / "inner.py").write_text(
            f"def process_writes(api, batches, args):\n    api.info({text!r}, __name__)\n"
        )

    logs = [run_wal(tmp_path / home / "pack", {}).logs for home in ("one", "two")]

    assert logs == [(("INFO", "first pack.inner"),), (("INFO", "second pack.inner"),)]


def test_runs_that_share_a_scene_find_each_others_cache() -> None:
    def count(api: Any, batches: object, args: object) -> None:  # noqa: ANN401
        api.cache.put("n", api.cache.get("n", 0) + 1)
        api.info(api.cache.get("n"))

    scene = Scene()
    logs = [run_wal(count, {}, scene=scene).logs for _ in range(2)]

    assert logs == [(("INFO", "1"),), (("INFO", "2"),)]


def test_a_failed_run_loses_what_it_buffered() -> None:
    def fail(api: Any, batches: object, args: object) -> None:  # noqa: ANN401
        api.write(line("buffered"))
        api.write_sync(line("sync"))
        raise RuntimeError("no further")

    scene = Scene()
    with pytest.raises(RuntimeError, match="no further"):
        run_wal(fail, {}, scene=scene)

    assert scene.lines() == ["sync v=1i"]


def test_refused_lines_fail_as_they_would_on_a_server() -> None:
    texts = []

    def write(api: Any, batches: object, args: Any) -> None:  # noqa: ANN401
        try:
            api.write_sync(line("bad"))
        except Exception as error:  # noqa: BLE001
            texts.append(str(error))
        api.write(line(args["table"]))

    scene = Scene("home", validate=refuse_bad)
    assert run_wal(write, {}, {"table": "good"}, scene=scene).lines == ["good v=1i"]
    with pytest.raises(LinesRefused, match="error writing back lines to home: Cannot write"):
        run_wal(write, {}, {"table": "bad"}, scene=scene)

    assert texts[0] == (
        "error writing line protocol to home: Cannot write: line protocol parse failed: a bad line"
    )
    assert scene.lines() == ["good v=1i"]


def test_a_scheduled_time_is_naive_utc_in_whole_seconds() -> None:
    seen = []

    def note(api: object, call_time: datetime, args: object) -> None:
        seen.append((call_time, args))

    run_schedule(note, NOON, {"a": "1"})
    run_schedule(note, NOON.replace(tzinfo=timezone(timedelta(hours=1))))

    assert seen == [
        (datetime(2025, 1, 1, 12), {"a": "1"}),  # noqa: DTZ001
        (datetime(2025, 1, 1, 11), None),  # noqa: DTZ001
    ]


def test_a_request_is_answered_as_a_client_would_see_it() -> None:
    def echo(api: Any, query: Any, headers: Any, body: Any, args: object) -> Any:  # noqa: ANN401
        api.write(line("asked"))
        return {"query": query, "headers": headers, "body": body.decode()}, 201

    run = run_request(echo, {"q": "1"}, {"X-A": "b", "Authorization": "secret"}, b"hello")

    assert run.response is not None
    assert run.response.status == 201
    assert run.response.text == '{"query": {"q": "1"}, "headers": {"x-a": "b"}, "body": "hello"}'
    assert run.response.header("content-type") == "application/json"
    assert run.lines == ["asked v=1i"]


def test_a_stream_is_read_to_its_end_before_the_run_ends() -> None:
    def stream(api: Any, *rest: object) -> Any:  # noqa: ANN401
        yield "a"
        api.write(line("late"))
        yield "b"

    run = run_request(stream)

    assert run.response is not None
    assert (run.response.body, run.lines) == (b"ab", ["late v=1i"])


def test_what_is_no_response_is_refused() -> None:
    with pytest.raises(InvalidResponse, match="Unsupported return type"):
        run_request(lambda *_: None)


def test_a_missing_entry_point_is_named(plugin: Callable[[str], Path]) -> None:
    with pytest.raises(PluginInvalid, match="the process_writes function is not present"):
        run_wal(plugin("x = 1"), {})
