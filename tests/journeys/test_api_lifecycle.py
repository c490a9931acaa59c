"""Triggers from their specification to their end, through a real server."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from tests.probing import Probe
from tests.requesting import ENGINE, TRIGGERS, add, sent
from tests.serving import Answer, Server, eventually, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("lifecycle")) as running:
        running.create_database("db")
        running.plugin("idle.py", "def process_writes(*args):\n    pass\n")
        yield running


def change(server: Server, action: str, name: str, database: str = "db") -> Answer:
    return server.request("POST", f"{TRIGGERS}/{action}", db=database, trigger_name=name)


def delete(server: Server, name: str, **options: str) -> Answer:
    return server.request("DELETE", TRIGGERS, db="db", trigger_name=name, **options)


# --- specifications


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ("  table: two words  ", '{"single_table_wal_write":{"table_name":"two words"}}'),
        ("all-tables", '"all_tables_wal_write"'),
        ("all_tables", '"all_tables_wal_write"'),
        ("cron:0 0 3 * * mon-fri 2099", '{"schedule":{"schedule":"0 0 3 * * mon-fri 2099"}}'),
        ("schedule:*/5 * * * *", '{"schedule":{"schedule":"0 */5 * * * *"}}'),
        ("every:1h 30m", '{"every":{"duration":{"secs":5400,"nanos":0}}}'),
        ("request:a/b/c", '{"request_path":{"path":"a/b/c"}}'),
    ],
)
def test_a_specification_is_kept_in_one_form(server: Server, spec: str, kept: str) -> None:
    name = f"s{abs(hash(spec))}"
    assert server.trigger("db", name, spec, "idle.py").status == 200

    sql = "SELECT trigger_specification AS s FROM system.processing_engine_triggers"
    assert server.sql("db", f"{sql} WHERE trigger_name = '{name}'") == [{"s": kept}]

    assert delete(server, name, force="true").status == 200


_FORMS = (
    "expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', "
    "'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'"
)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("bogus", _FORMS),
        ("table:", "table name is empty"),
        ("request: ", "request path is empty"),
        ("every:5", "couldn't parse to duration"),
        ("every:2y", "don't support every schedules of over 1 year"),
        ("every:0s", "don't support every schedules of under 1 millisecond"),
        ("cron:* *", "2 fields found"),
        ("cron:* * * * * 8", ""),
    ],
)
def test_a_wrong_specification_is_refused_with_cores_text(
    server: Server, spec: str, text: str
) -> None:
    answer = server.trigger("db", "wrong", spec, "idle.py")

    assert answer.status == 400
    assert answer.text.startswith(f"failed to parse trigger from {spec.strip()}: {text}")


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        ("../x.py", "Path traversal detected: plugin filename '../x.py' attempts to access files "),
        ("/etc/passwd", "Path traversal detected: plugin filename '/etc/passwd' attempts to "),
        ("a/../../x.py", "Path traversal detected: plugin filename 'a/../../x.py' attempts to "),
        ("none.py", "reading plugin file: Plugin not found: {plugins}/none.py"),
        ("none/", "reading plugin file: Plugin not found: {plugins}/none"),
        (
            "bare/",
            (
                "reading plugin file: Multi-file plugin directory must contain __init__.py: "
                "{plugins}/bare"
            ),
        ),
    ],
)
def test_a_plugin_that_cannot_be_read_is_refused(server: Server, plugin: str, text: str) -> None:
    (server.plugins / "bare").mkdir(exist_ok=True)

    answer = server.trigger("db", "unread", "all_tables", plugin)

    assert answer.status == 500
    assert answer.text.startswith(f"Plugin error: {text.format(plugins=server.plugins)}")


def test_code_is_not_looked_at_before_it_runs(server: Server) -> None:
    server.plugin("nonsense.py", "this is no Python")

    assert server.trigger("db", "nonsense", "table:t", "nonsense.py").status == 200


@pytest.mark.parametrize("behavior", ["log", "Log", "RETRY", "Disable"])
def test_the_error_behavior_is_read_in_any_case(server: Server, behavior: str) -> None:
    name = f"b{behavior}"

    answer = server.trigger("db", name, "table:t", "idle.py", error_behavior=behavior)

    assert answer.status == 200
    sql = "SELECT error_behavior AS b FROM system.processing_engine_triggers"
    [row] = server.sql("db", f"{sql} WHERE trigger_name = '{name}'")
    assert row["b"].lower() == behavior.lower()


# --- names and paths


def test_a_name_is_unique_in_its_database_and_a_path_everywhere(server: Server) -> None:
    server.create_database("second")
    server.plugin("web.py", "def process_request(*args):\n    return 'web'\n")
    assert server.trigger("db", "web", "request:web", "web.py").status == 200

    for database, path, text in [
        ("db", "else", "attempted to create a resource that already exists"),
        ("second", "web", "request path 'web' already belongs to trigger 'web'"),
    ]:
        answer = server.trigger(database, "web", f"request:{path}", "web.py")
        assert (answer.status, answer.text[: len(text)]) == (409, text)
    assert server.trigger("second", "web", "request:web/deeper", "web.py").status == 200
    assert server.request("GET", f"{ENGINE}web/deeper").text == "web"
    for path in ("web/", "web/deep", "WEB"):
        assert server.request("GET", ENGINE + path).status == 404


def test_a_trigger_needs_its_database(server: Server) -> None:
    answer = server.trigger("nowhere", "t", "all_tables", "idle.py")

    assert answer.status == 404


# --- on and off


def test_switching_twice_does_nothing_and_a_resting_path_is_not_found(server: Server) -> None:
    probe = Probe.add(server, name="switched")

    for action in ("enable", "enable", "disable", "disable"):
        assert change(server, action, "switched").status == 200
    answer = server.request("GET", f"{ENGINE}switched")
    assert (answer.status, answer.text) == (404, '{error: "not found"}')

    change(server, "enable", "switched")
    assert probe.value("1") == 1


def test_the_own_cache_ends_with_a_disable_and_with_a_delete(server: Server) -> None:
    probe = Probe.add(server, name="caching")
    put = "influxdb3_local.cache.put('k', 1); influxdb3_local.cache.put('g', 2, None, True)"
    look = "[influxdb3_local.cache.get('k'), influxdb3_local.cache.get('g', 0, True)]"

    probe.run(put)
    assert probe.value(look) == [1, 2]
    change(server, "disable", "caching")
    change(server, "enable", "caching")
    assert probe.value(look) == [None, 2]

    probe.run(put)
    assert delete(server, "caching", force="true").status == 200
    assert Probe.add(server, name="caching").value(look) == [None, 2]


def test_the_own_cache_ends_with_a_disable_by_an_error(server: Server) -> None:
    server.create_database("failing")
    server.plugin(
        "failing.py",
        "def process_writes(influxdb3_local, batches, args=None):\n"
        "    influxdb3_local.info('found', influxdb3_local.cache.get('k'))\n"
        "    influxdb3_local.cache.put('k', 1)\n"
        "    raise ValueError\n",
    )
    server.trigger("failing", "f", "table:m", "failing.py", error_behavior="disable")

    sql = "SELECT disabled FROM system.processing_engine_triggers WHERE trigger_name = 'f'"
    for run in (1, 2):
        server.write("failing", "m v=1")
        eventually(lambda n=run: len(server.logs("failing", "f", "ERROR")) >= 2 * n)
        eventually(lambda: server.sql("failing", sql)[0]["disabled"])
        change(server, "enable", "f", "failing")

    found = [line for line in server.logs("failing", "f") if line.startswith("found")]
    assert found == ["found None"] * 2


def test_a_running_trigger_is_deleted_by_force_only(server: Server) -> None:
    server.trigger("db", "doomed", "table:t", "idle.py")

    refused = delete(server, "doomed")
    assert refused.status == 409
    assert refused.text == "Cannot delete running plugin doomed. Disable it first or use --force."
    change(server, "disable", "doomed")
    assert delete(server, "doomed").status == 200

    for answer in (
        delete(server, "doomed"),
        change(server, "enable", "doomed"),
        change(server, "disable", "doomed"),
    ):
        assert (answer.status, answer.text) == (404, "the requested resource was not found: doomed")


def test_a_cancelled_run_is_interrupted_at_its_next_call(server: Server) -> None:
    """`except Exception` does not hold it up, and the cache works to the end."""
    add(
        server,
        "cancelled",
        """
        import threading
        def process_request(influxdb3_local, *rest):
            influxdb3_local.info("running")
            while True:
                try:
                    influxdb3_local.cache.put("k", influxdb3_local.cache.get("k", 0) + 1)
                    threading.Event().wait(0.01)
                    influxdb3_local.query("SELECT 1")
                except Exception:
                    pass
                except BaseException as stop:
                    influxdb3_local.cache.put("told", str(stop))
                    print("told:", type(stop).__name__, stop, influxdb3_local.cache.get("told"))
                    raise
        """,
    )
    with sent(server, "cancelled") as first, sent(server, "cancelled") as second:
        eventually(lambda: "running" in server.logs("db", "cancelled"))
        assert change(server, "disable", "cancelled").status == 200
        answers = [_answer(first), _answer(second)]

    down = b"Processing engine error: request handler for trigger down"
    assert answers == [(500, down)] * 2

    text = "influxdb3 is shutting down; aborting plugin execution"
    told = f"told: KeyboardInterrupt {text} {text}"
    assert eventually(lambda: any(told in line for line in server.output))


def _answer(client: socket.socket) -> tuple[int, bytes]:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer.status, answer.read()
