from __future__ import annotations

import json
from datetime import datetime

import pyarrow as pa
import pytest

from engine.catalog.change import (
    Change,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
)
from engine.catalog.fold import apply_all
from engine.catalog.state import Catalog
from engine.config import SandboxConfig
from engine.logs import LogRing
from engine.model.grants import parse_grants
from engine.model.lag import Lag
from engine.model.limits import Limits
from engine.model.schema import Column, ColumnType
from engine.model.spec import AllTablesSpec, EverySpec
from engine.model.trigger import CatchUp, ErrorBehavior, OnLag, Trigger, TriggerSettings
from engine.query.mentions import Mentions
from engine.query.server_tables import Node, node_table
from engine.query.system_tables import SystemTables
from engine.query.trigger_tables import trigger_table

SETTINGS = TriggerSettings(
    True,
    ErrorBehavior.RETRY,
    CatchUp.ALL,
    Limits(time_s=2.5),
    ("https://a", "https://b"),
    OnLag.NEWEST,
)
NO_LAG = (None,) * 5
DEFAULT_CONFINES = ("[]", 536_870_912, None, 64, 268_435_456)
CHANGES: list[Change] = [
    CreateDatabase(1, "db", 5),
    CreateTable(2, 1, "cpu", (Column("host", ColumnType.TAG), Column("Used", ColumnType.FLOAT))),
    CreateTrigger(
        Trigger(3, 1, "t1", "a.py", AllTablesSpec(), SETTINGS, {"k": "v", "l": "w"}, False, 1)
    ),
    CreateTrigger(Trigger(4, 1, "t2", "gh:b", EverySpec(10**10), TriggerSettings(), None, True, 1)),
    CreateDatabase(5, "other"),
]
CATALOG = apply_all(Catalog.empty("uuid"), CHANGES, 1)


def table(name: str, database: str = "db", logs: LogRing | None = None) -> pa.Table:
    system = SystemTables(logs or LogRing())
    return system.tables(CATALOG, CATALOG.database(database), Mentions(f"system.{name}"))[name]


def rows(name: str, database: str = "db") -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in table(name, database).to_pylist()]


def test_triggers_show_their_specification_as_json() -> None:
    assert rows("processing_engine_triggers") == [
        (
            *("t1", "a.py", '"all_tables_wal_write"', False, "retry"),
            *(True, "all", 2.5, "https://a,https://b", "broken", "newest"),
            *NO_LAG,
            *DEFAULT_CONFINES,
        ),
        (
            *("t2", "gh:b", '{"every":{"duration":{"secs":10,"nanos":0}}}', True, "log"),
            *(False, "one", None, "*", "disabled", "keep"),
            *NO_LAG,
            *DEFAULT_CONFINES,
        ),
    ]
    assert rows("processing_engine_triggers", "other") == []


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        ("starting", "starting"),
        ("ready", "ready"),
        ("running", "running"),
        ("committing", "running"),
        ("pausing", "paused"),
        ("broken", "broken"),
        ("ended", "broken"),
    ],
)
def test_a_trigger_shows_what_it_does(phase: str, state: str) -> None:
    provide = trigger_table(lambda: {3: phase, 4: "ended"})

    shown = provide(CATALOG, CATALOG.database("db")).column("state").to_pylist()

    assert shown == [state, "disabled"]


def test_a_running_wal_trigger_shows_how_far_it_is_behind() -> None:
    lags = {3: Lag(2, 10, 4_500_000_000, skipped_rows=7, gap_rows=1)}
    provide = trigger_table(dict, lambda: lags, lambda: 6_000_000_000)

    shown = provide(CATALOG, CATALOG.database("db")).select(
        ["lag_events", "lag_rows", "lag_s", "skipped_rows", "gap_rows"]
    )

    assert [tuple(row.values()) for row in shown.to_pylist()] == [(2, 10, 1.5, 7, 1), NO_LAG]


def test_nobody_who_has_done_everything_is_behind() -> None:
    provide = trigger_table(dict, lambda: {3: Lag(0, 0, None)}, lambda: 6_000_000_000)

    assert provide(CATALOG, CATALOG.database("db")).column("lag_s").to_pylist() == [0.0, None]


def test_a_trigger_shows_which_grants_and_limits_count() -> None:
    sandbox = SandboxConfig(
        default_grants=("env=A",), default_limits=("cpu=2",), max_limits=("memory=128MiB",)
    )
    settings = TriggerSettings(
        grants=parse_grants(["net=self", 'read=/a"b']), limits=Limits(disk_bytes=2**20)
    )
    trigger = Trigger(3, 1, "t", "a.py", AllTablesSpec(), settings, None, False, 1)
    catalog = apply_all(Catalog.empty("uuid"), [CHANGES[0], CreateTrigger(trigger)], 1)

    provide = trigger_table(dict, sandbox=sandbox)
    [row] = provide(catalog, catalog.database("db")).to_pylist()

    assert json.loads(row["grants"]) == ["net=self", 'read=/a"b', "env=A"]
    limits = [row[f"limit_{name}"] for name in ("memory_bytes", "cpu", "processes", "disk_bytes")]
    assert limits == [134_217_728, 2.0, 64, 1_048_576]


def test_the_server_is_one_node() -> None:
    node = Node("node0", "5a6b", 2, 1_700_000_000_000)

    [row] = node_table(node)(CATALOG, CATALOG.database("_internal")).to_pylist()

    assert row["updated_at"] == datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001  as upstream
    assert {name: value for name, value in row.items() if name != "updated_at"} == {
        "node_id": "node0",
        "node_catalog_id": 0,
        "instance_id": "5a6b",
        "mode": ["core"],
        "core_count": 2,
        "state": "running",
        "cli_params": None,
    }


def test_each_argument_is_a_row() -> None:
    assert rows("processing_engine_trigger_arguments") == [("t1", "k", "v"), ("t1", "l", "w")]


def test_logs_are_those_of_all_databases() -> None:
    ring = LogRing()
    ring.add(5, "t1", "INFO", "hello", "a1b2")
    ring.add(6, "elsewhere", "ERROR", "ü")

    logs = table("processing_engine_logs", "other", ring)

    assert logs.drop_columns(["event_time"]).to_pylist() == [
        {"trigger_name": "t1", "log_level": "INFO", "log_text": "hello", "run_id": "a1b2"},
        {"trigger_name": "elsewhere", "log_level": "ERROR", "log_text": "ü", "run_id": ""},
    ]
    assert logs.column("event_time").cast(pa.int64()).to_pylist() == [5, 6]


def test_schema_lists_each_column_of_each_table() -> None:
    assert rows("influxdb_schema") == [
        ("cpu", "Used", "float"),
        ("cpu", "host", "tag"),
        ("cpu", "time", "time"),
    ]


def test_databases_and_tables_stand_in_the_internal_database() -> None:
    assert rows("databases", "_internal") == [
        ("_internal", None, False, None),
        ("db", 5, False, None),
        ("other", None, False, None),
    ]
    assert rows("tables", "_internal") == [("db", "cpu", 3, "host", 0, 0, False, None)]
    with pytest.raises(KeyError):
        table("databases")


@pytest.mark.parametrize("name", ["nodes", "tokens", "generation_durations"])
def test_tables_about_the_server_stand_in_the_internal_database_only(name: str) -> None:
    assert table(name, "_internal").num_rows == 0
    with pytest.raises(KeyError):
        table(name)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("last_caches", "ttl"),
        ("distinct_caches", "max_age_seconds"),
        ("parquet_files", "max_time"),
    ],
)
def test_what_is_not_there_yet_has_columns_and_no_rows(name: str, last: str) -> None:
    found = table(name)

    assert (found.num_rows, found.schema.names[-1]) == (0, last)


def test_only_tables_that_are_named_are_computed() -> None:
    system = SystemTables(LogRing())
    calls: list[str] = []

    def provider(_catalog: object, database: object) -> pa.Table:
        calls.append("called")
        return pa.table({"a": [1]})

    system.register("mine", provider)
    database = CATALOG.database("db")

    assert system.tables(CATALOG, database, Mentions("SELECT 1")) == {}
    assert calls == []
    assert list(system.tables(CATALOG, database, Mentions("SELECT a FROM system.MINE"))) == ["mine"]
    assert "mine" in system.tables(CATALOG, database, Mentions("SHOW TABLES"))
