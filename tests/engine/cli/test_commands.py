"""Commands that talk to a server."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.commands import create_database, create_table
from engine.cli.client import Client
from engine.cli.failures import BadValue
from engine.errors import Busy
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.trigger import (
    AllTablesSpec,
    CatchUp,
    ErrorBehavior,
    EverySpec,
    OnLag,
    TriggerSettings,
)
from tests.http_services import EdgeParts

PATH_OPTION = ("--path", "p.py")
EVERY = ("--trigger-spec", "every:90s")


@pytest.fixture
def database(parts: EdgeParts) -> None:
    parts.catalog.update(create_database("db"))


def pipe(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_database_is_created_and_listed(at_server: Callable, parts: EdgeParts) -> None:
    created = at_server("create", "database", "--retention-period", "1d", "mine")
    listed = at_server("show", "databases", "--format", "csv")

    assert (created.status, created.out) == (0, 'Database "mine" created successfully\n')
    assert parts.catalog.catalog.database("mine").retention_ns == 86_400 * 10**9
    assert listed.out.split() == ["iox::database", "_internal", "mine"]


def test_taken_name_is_told_with_status_and_text(at_server: Callable) -> None:
    at_server("create", "database", "mine")

    again = at_server("create", "database", "mine")

    assert again.status == 1
    assert again.err == (
        "Create command failed: server responded with error [409 Conflict]: "
        "attempted to create a resource that already exists\n"
    )


def test_database_name_comes_from_the_environment(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUXDB3_DATABASE_NAME", "named")

    assert at_server("create", "database").status == 0
    assert "named" in parts.catalog.catalog.databases


def test_dotenv_file_names_the_server_and_the_database(
    bulkhead: Callable, parts: EdgeParts, server: object, tmp_path: Path
) -> None:
    host, port = server.address
    (tmp_path / ".env").write_text(f"INFLUXDB3_HOST_URL=http://{host}:{port}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFLUXDB3_HOST_URL", "placeholder")  # so that it is taken back
        patch.delenv("INFLUXDB3_HOST_URL")
        ended = bulkhead("create", "database", "dotted")

    assert ended.status == 0
    assert "dotted" in parts.catalog.catalog.databases


@pytest.mark.usefixtures("database")
def test_trigger_is_created_with_all_options(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server(
        "create", "trigger", "-d", "db", *EVERY, "--plugin-filename", "dir/p.py",
        "--trigger-arguments", "a=1,b=x=y", "--disabled", "--run-asynchronous",
        "--error-behavior", "Retry", "mine",
    )  # fmt: skip

    assert (ended.status, ended.out) == (0, "Trigger mine created successfully\n")
    trigger = parts.catalog.catalog.trigger_named("db", "mine")
    assert trigger.spec == EverySpec(90 * 10**9)
    assert trigger.plugin == "dir/p.py"
    assert trigger.arguments == {"a": "1", "b": "x=y"}
    assert trigger.settings == TriggerSettings(run_async=True, error_behavior=ErrorBehavior.RETRY)
    assert trigger.disabled


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (("--catch-up", "Skip"), TriggerSettings(catch_up=CatchUp.SKIP)),
        (("--on-lag", "Merge"), TriggerSettings(on_lag=OnLag.MERGE)),
        (("--limit", "time=1m 30s"), TriggerSettings(limits=Limits(time_s=90.0))),
        (("--limit", "time=1s", "--limit", "time=2s"), TriggerSettings(limits=Limits(time_s=2.0))),
        (
            ("--grant", "subprocess", "--grant", "net=self"),
            TriggerSettings(grants=Grants(self_http=True, subprocess=True)),
        ),
        (
            ("--cors", "https://a", "--cors", "HTTP://b:80"),
            TriggerSettings(cors=("https://a", "http://b:80")),
        ),
        (("--cors", "none"), TriggerSettings(cors=())),
    ],
)
@pytest.mark.usefixtures("database")
def test_settings_beyond_those_of_core_reach_the_server(
    at_server: Callable, parts: EdgeParts, options: tuple, settings: TriggerSettings
) -> None:
    ended = at_server("create", "trigger", "-d", "db", *EVERY, *PATH_OPTION, *options, "mine")

    assert ended.status == 0
    assert parts.catalog.catalog.trigger_named("db", "mine").settings == settings


@pytest.mark.usefixtures("database")
def test_options_may_stand_behind_the_name(at_server: Callable, parts: EdgeParts) -> None:
    spec = ("--trigger-spec", "all-tables")

    ended = at_server("create", "trigger", "mine", "--database", "db", *spec, *PATH_OPTION)

    assert ended.status == 0
    trigger = parts.catalog.catalog.trigger_named("db", "mine")
    assert trigger.spec == AllTablesSpec()
    assert trigger.arguments is None


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (("--trigger-spec", "now", *PATH_OPTION), 2, "error: invalid value 'now' for '--trigger"),
        ((*EVERY, *PATH_OPTION, "--trigger-arguments", "a"), 2, "error: invalid value 'a' for"),
        ((*EVERY, *PATH_OPTION, "--error-behavior", "x"), 2, "error: invalid value 'x' for"),
        ((*EVERY, *PATH_OPTION, "--catch-up", "x"), 2, "error: invalid value 'x' for '--catch-up"),
        ((*EVERY, *PATH_OPTION, "--on-lag", "x"), 2, "error: invalid value 'x' for '--on-lag <ON"),
        ((*EVERY, *PATH_OPTION, "--limit", "time=x"), 2, "error: invalid value 'time=x' for '--li"),
        ((*EVERY, *PATH_OPTION, "--limit", "cpu=x"), 2, "error: invalid value 'cpu=x' for '--limi"),
        ((*EVERY, *PATH_OPTION, "--grant", "net=x"), 2, "error: invalid value 'net=x' for '--gra"),
        ((*EVERY, *PATH_OPTION, "--cors", "x"), 2, "error: invalid value 'x' for '--cors <ORIGIN>"),
        (
            (*EVERY, *PATH_OPTION, "--plugin-filename", "q"),
            2,
            "error: the argument '--path <PATH>'",
        ),
        (EVERY, 1, "Create command failed: Either --path or --plugin-filename must be provided"),
    ],
)
def test_wrong_triggers_are_found_before_the_server(
    bulkhead: Callable, options: tuple, status: int, text: str
) -> None:
    ended = bulkhead("create", "trigger", "-d", "db", *options, "t")

    assert ended.status == status
    assert ended.err.startswith(text)


def test_trigger_that_the_server_refuses_is_told_twice(at_server: Callable) -> None:
    ended = at_server("create", "trigger", "-d", "none", *EVERY, *PATH_OPTION, "t")

    reason = "server responded with error [404 Not Found]: Database not found none\n"
    assert ended.status == 1
    assert ended.err == f"Failed to create trigger: {reason}Create command failed: {reason}"


@pytest.mark.usefixtures("database")
def test_trigger_is_switched_and_deleted(at_server: Callable, parts: EdgeParts) -> None:
    at_server("create", "trigger", "-d", "db", *EVERY, *PATH_OPTION, "t")

    assert (
        at_server("disable", "trigger", "-d", "db", "t").out == "Trigger t disabled successfully\n"
    )
    assert at_server("enable", "trigger", "t", "-d", "db").out == "Trigger t enabled successfully\n"
    assert parts.definitions.switched == [("disable", "db", "t"), ("enable", "db", "t")]
    refused = at_server("delete", "trigger", "-d", "db", "t")
    assert "Delete command failed: server responded with error [409 Conflict]" in refused.err
    deleted = at_server("delete", "trigger", "-d", "db", "--force", "t")
    assert deleted.out == "Trigger t deleted successfully\n"


@pytest.fixture
def table(parts: EdgeParts) -> None:
    parts.catalog.update(create_table("db", "t", ()))


@pytest.mark.parametrize("answer", [b"yes\n", b"Y\n", b" y"])
@pytest.mark.usefixtures("table")
def test_deletion_asks_first(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    pipe(monkeypatch, answer)
    table = at_server("delete", "table", "-d", "db", "t")
    pipe(monkeypatch, answer)
    database = at_server("delete", "database", "db")

    assert (table.status, table.out) == (0, 'Table "db"."t" deleted successfully\n')
    assert table.err == "Are you sure you want to delete \"t\"? Enter 'yes' or 'y' to confirm\n"
    assert (database.status, database.out) == (0, 'Database "db" deleted successfully\n')
    assert set(parts.catalog.catalog.databases) == {"_internal"}


@pytest.mark.parametrize("answer", [b"", b"no\n", b"yesterday\n"])
@pytest.mark.usefixtures("table")
def test_nothing_is_deleted_without_consent(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    pipe(monkeypatch, answer)

    ended = at_server("delete", "database", "db")

    assert ended.status == 1
    assert "Delete command failed: Cannot proceed without confirmation\n" in ended.err
    assert parts.catalog.catalog.trash == {}


@pytest.mark.usefixtures("table")
def test_deletion_names_the_time_of_removal(at_server: Callable, parts: EdgeParts) -> None:
    never = at_server("delete", "table", "-d", "db", "t", "-y", "--hard-delete", "never")
    wrong = at_server("delete", "database", "db", "-y", "--hard-delete", "soon")

    [trashed] = parts.catalog.catalog.trash.values()
    assert (never.status, never.err) == (0, "")
    assert (trashed.original, trashed.hard_delete_ns) == ("t", None)
    assert wrong.status == 2
    assert wrong.err.startswith("error: invalid value 'soon' for '--hard-delete <WHEN>'")


def test_deletion_that_is_refused_tells_why(at_server: Callable) -> None:
    ended = at_server("delete", "database", "none", "-y")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        "Delete command failed: server responded with error [404 Not Found]: "
        "the requested resource was not found: none\n"
    )


@pytest.mark.usefixtures("database")
def test_retention_is_updated(at_server: Callable, parts: EdgeParts) -> None:
    limited = at_server("update", "database", "-d", "db", "-r", "1d")
    kept_ns = parts.catalog.catalog.database("db").retention_ns
    cleared = at_server("update", "database", "-d", "db", "--retention-period", "none")
    missing = at_server("update", "database", "-d", "db")

    assert limited.out == cleared.out == 'Database "db" updated successfully\n'
    assert kept_ns == 86_400 * 10**9
    assert parts.catalog.catalog.database("db").retention_ns is None
    assert missing.err == (
        "Update command failed: --retention-period is required for update database\n"
    )


def test_query_prints_the_body_and_a_newline(at_server: Callable, parts: EdgeParts) -> None:
    parts.queries.answers["SELECT 1"] = pa.table({"n": [1]})

    assert at_server("query", "-d", "db", "SELECT 1").out == "[{'n': 1}]\n"
    assert at_server("q", "SELECT", "1", "-d", "db", "--format", "json").out == '[{"n": 1}]\n'


def test_query_comes_from_a_file_or_a_pipe(
    at_server: Callable, parts: EdgeParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.queries.answers["SELECT 2"] = pa.table({"n": [2]})
    (tmp_path / "q.sql").write_text("SELECT 2")

    from_file = at_server("query", "-d", "db", "-f", "q.sql", "--format", "csv")
    pipe(monkeypatch, b"SELECT 2")
    piped = at_server("query", "-d", "db", "--format", "csv")

    assert from_file.out == piped.out == "n\n2\n\n"


def test_query_result_goes_to_a_file(at_server: Callable, parts: EdgeParts, tmp_path: Path) -> None:
    parts.queries.answers["SELECT 3"] = pa.table({"n": [3]})
    (tmp_path / "out").write_text("something longer that was there before")

    ended = at_server("query", "-d", "db", "-o", "out", "--format", "parquet", "SELECT 3")

    assert (ended.status, ended.out) == (0, "")
    assert (tmp_path / "out").read_bytes() == b"PAR1"


def test_parquet_is_piped_raw_and_kept_off_terminals(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.queries.answers["SELECT 4"] = pa.table({"n": [4]})
    words = ("query", "-d", "db", "--format", "parquet", "SELECT 4")

    piped = at_server(*words)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    refused = at_server(*words)

    assert piped.out == "PAR1"
    assert refused.status == 1
    assert "cannot write parquet to a terminal" in refused.err


@pytest.mark.parametrize("command", ["query", "write"])
def test_nothing_to_send_is_told(
    bulkhead: Callable, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    ended = bulkhead(command, "-d", "db")

    assert ended.status == 1
    assert "No input from stdin detected" in ended.err


def test_file_that_is_not_there_is_told(bulkhead: Callable) -> None:
    assert "cannot read none" in bulkhead("query", "-d", "db", "-f", "none").err
    assert "cannot read none" in bulkhead("write", "-d", "db", "-f", "none").err


def test_lines_are_written_with_parameters(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server(
        "write", "-d", "db", "-p", "s", "--accept-partial", "--no-sync", "m f=1 1", "m f=2 2"
    )

    assert (ended.status, ended.out) == (0, "")
    assert ended.err == "  2 lines, 15 bytes written\n"
    [seen] = parts.writes.seen
    assert seen.body == b"m f=1 1\nm f=2 2"
    assert (seen.precision.value, seen.accept_partial, seen.no_sync) == ("second", True, True)


def test_large_file_is_cut_and_compressed(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    lines = [f"m f={n} {n}\n" for n in range(1000)]
    (tmp_path / "lines").write_text("".join(lines))

    ended = at_server(
        "write", "-d", "db", "-f", "lines", "--gzip", "-q",
        "--max-request-size", "1000", "--max-concurrent-requests", "4",
    )  # fmt: skip

    assert (ended.status, ended.err) == (0, "")
    bodies = [seen.body.decode() for seen in parts.writes.seen]
    assert len(bodies) > 10
    assert sorted("".join(bodies).splitlines(keepends=True)) == sorted(lines)


def test_piped_lines_are_written(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, b'm f="two\nlines" 1\n')

    assert at_server("w", "-d", "db", "-q").status == 0
    assert parts.writes.seen[0].body == b'm f="two\nlines" 1\n'


def test_refused_lines_fail_with_the_place_of_their_body(
    at_server: Callable, tmp_path: Path
) -> None:
    (tmp_path / "lines").write_text("m f=1 1\n" * 10 + "bad\n")

    ended = at_server("write", "-d", "db", "-f", "lines", "-q", "--max-request-size", "40")

    assert ended.status == 1
    assert "Write command failed: server responded with error [400 Bad Request]: " in ended.err
    assert "partial write of line protocol occurred" in ended.err
    assert "(line numbers count from line 11 of the input)" in ended.err


def test_busy_server_is_asked_again(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.cli.write._BUSY_PAUSE_S", 0.01)
    parts.writes.refusal = Busy("too many writes")

    ended = at_server("write", "-d", "db", "-q", "m f=1")

    assert "[503 Service Unavailable]: too many writes" in ended.err
    assert len(parts.writes.seen) == 8


def test_system_tables_are_shown(at_server: Callable, parts: EdgeParts) -> None:
    names = (
        "SELECT table_name FROM information_schema.tables\n"
        "WHERE table_schema = 'system' ORDER BY table_name"
    )
    rows = 'SELECT {} FROM system."{}"{}'
    logs, caches = "processing_engine_logs", "last_caches"
    answers = parts.queries.answers
    answers[names] = pa.table({"table_name": [caches, logs]})
    answers[rows.format("a,b", logs, " ORDER BY a LIMIT 3")] = pa.table({"a": [1]})
    answers[rows.format("*", logs, " LIMIT 10")] = pa.table({"log": ["x"]})
    answers[rows.format("*", caches, " ORDER BY count LIMIT 10")] = pa.table({"count": [1]})

    shown = at_server(
        "show", "system", "-d", "db", "table", logs, "-s", "a,b", "-o", "a", "-l", "3",
        "--format", "json",
    )  # fmt: skip
    summary = at_server("show", "system", "-d", "db", "summary", "--format", "json")
    unknown = at_server("show", "system", "-d", "db", "table", "nope")

    assert json.loads(shown.out) == [{"a": 1}]
    assert summary.out.splitlines() == [
        "last_caches summary:", '[{"count": 1}]',
        "processing_engine_logs summary:", '[{"log": "x"}]',
    ]  # fmt: skip
    assert unknown.err == (
        "Show command failed: system table 'nope' not found: please use a valid system table "
        'name: ["last_caches", "processing_engine_logs"]\n'
    )


def test_own_hosts_of_query_and_write_go_first(
    at_server: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUXDB3_QUERY_HOST_URL", "http://127.0.0.1:1")

    assert "http://127.0.0.1:1/" in at_server("query", "-d", "db", "x").err
    assert at_server("write", "-d", "db", "-q", "m f=1").status == 0


@pytest.mark.parametrize("host", ["", "localhost:8181", "ftp://x", "http://", "http://x:99999"])
def test_hosts_that_are_no_urls_are_refused(host: str) -> None:
    with pytest.raises(BadValue, match="--host <URL>"):
        Client(host)
