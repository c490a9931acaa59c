"""What came of it, asked of the server by SQL, and the promises held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.demo.client import Connection, Refused
from engine.demo.load import Measured, Wait
from engine.demo.scenario import RULES, Trigger

__all__ = ["Check", "Crash", "Figures", "checks", "collect", "is_near", "rows_seen"]

_VICTIM = "victim"
_MS_PER_NS = 1e-6
_NEAR_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Crash:
    """The crash as the server's log table tells it.

    Args:
        time_ns: when it was noticed, UTC nanoseconds.
        reason: of the worker's end.
        last_words: what its process printed last.
        redelivered_ms: until the event was done by the next worker; None if it never was.
    """

    time_ns: int
    reason: str
    last_words: str
    redelivered_ms: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted in the end.

    Args:
        acknowledged: rows that clients were told are durable.
        stored: of these, found by a query.
        seen: rows that each counting plugin has seen, by trigger.
        written: rows per table written by plugins.
        alerts: that were raised, by rule.
        crashes: of workers.
        errors_of_others: errors of triggers that were not to fail.
        writes: what all writers have measured.
        requests: what the caller has measured.
        is_same_server: whether the server's process is the one that was started.
    """

    acknowledged: int
    stored: int
    seen: Mapping[str, int]
    written: Mapping[str, int]
    alerts: Mapping[str, int]
    crashes: Sequence[Crash]
    errors_of_others: Sequence[str]
    writes: Measured
    requests: Measured
    is_same_server: bool


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, what was measured, and whether it was kept."""

    promise: str
    measured: str
    is_kept: bool


def rows_seen(connection: Connection) -> dict[str, int]:
    """Return how many rows of `climate` each plugin that counts has seen so far."""
    return {
        "reports": _number(
            connection,
            "SELECT sum(row_count) AS n FROM write_reports WHERE table_name = 'climate'",
        ),
        "rollup": _number(connection, "SELECT sum(degrees_count) AS n FROM climate_2s"),
        _VICTIM: _number(connection, "SELECT sum(row_count) AS n FROM crash_test"),
    }


def collect(
    connection: Connection,
    writers: Sequence[Measured],
    requests: Measured,
    triggers: Sequence[Trigger],
    *,
    is_same_server: bool,
) -> Figures:
    """Count everything."""
    writes = _together(writers)
    tables = {table for trigger in triggers for table in trigger.tables}
    return Figures(
        acknowledged=writes.rows,
        stored=_number(connection, "SELECT count(*) AS n FROM climate"),
        seen=rows_seen(connection),
        written={t: _number(connection, f"SELECT count(*) AS n FROM {t}") for t in tables},  # noqa: S608  our own names
        alerts={rule: _raised(connection, rule) for rule in RULES},
        crashes=_crashes(connection),
        errors_of_others=_errors_of_others(connection),
        writes=writes,
        requests=requests,
        is_same_server=is_same_server,
    )


def checks(figures: Figures) -> list[Check]:
    """Hold the figures against what is promised."""
    rows = figures.acknowledged
    lost = [
        Check(
            f"{trigger} saw each row exactly once",
            f"{seen:,} of {rows:,} rows",
            is_kept=seen == rows > 0,
        )
        for trigger, seen in figures.seen.items()
    ]
    return [
        Check(
            "the plugin crashed, once",
            f"{len(figures.crashes)} crash",
            is_kept=len(figures.crashes) == 1,
        ),
        _none_of("writes failed", figures.writes.failures, len(figures.writes.waits)),
        _none_of("requests failed", figures.requests.failures, len(figures.requests.waits)),
        Check(
            "every acknowledged row is stored",
            f"{figures.stored:,} of {rows:,} rows",
            is_kept=figures.stored == rows > 0,
        ),
        *lost,
        *(
            Check(f"alerts of the rule {rule} were raised", str(raised), is_kept=raised > 0)
            for rule, raised in figures.alerts.items()
        ),
        _none_of("errors in other triggers", figures.errors_of_others, None),
        Check(
            "the server is the process that was started",
            "yes" if figures.is_same_server else "no",
            is_kept=figures.is_same_server,
        ),
    ]


def is_near(wait: Wait, crash: Crash) -> bool:
    """Whether a request was answered in the second after a crash."""
    return 0 <= wait.answered_ns - crash.time_ns < _NEAR_NS


def _none_of(what: str, texts: Sequence[str], attempts: int | None) -> Check:
    of = "" if attempts is None else f" of {attempts + len(texts):,}"
    first = f": {texts[0]}" if texts else ""
    has_tried = attempts is None or attempts > 0
    return Check(f"0 {what}", f"{len(texts)}{of}{first}", is_kept=not texts and has_tried)


def _together(measured: Sequence[Measured]) -> Measured:
    return Measured(
        waits=[wait for one in measured for wait in one.waits],
        rows=sum(one.rows for one in measured),
        failures=[text for one in measured for text in one.failures],
    )


def _number(connection: Connection, query: str) -> int:
    """Return the one number of a query; 0 while the table does not exist."""
    try:
        rows = connection.sql(query)
    except Refused:
        return 0
    return int(rows[0].get("n", 0)) if rows else 0


def _raised(connection: Connection, rule: str) -> int:
    query = f"SELECT count(*) AS n FROM alerts WHERE state = 'raised' AND rule = '{rule}'"  # noqa: S608  ours
    return _number(connection, query)


def _crashes(connection: Connection) -> list[Crash]:
    found = connection.sql(
        "SELECT CAST(event_time AS BIGINT) AS ns, log_level, log_text "  # noqa: S608  ours
        f"FROM system.processing_engine_logs WHERE trigger_name = '{_VICTIM}' ORDER BY event_time"
    )
    errors = [number for number, row in enumerate(found) if row["log_level"] == "ERROR"]
    return [_crash(found[number], found[number + 1 :]) for number in errors]


def _crash(error: dict[str, Any], following: list[dict[str, Any]]) -> Crash:
    reason, _, last_words = error["log_text"].partition("\n")
    finished = [row["ns"] for row in following if row["log_text"].startswith("finished execution")]
    redelivered_ms = (finished[0] - error["ns"]) * _MS_PER_NS if finished else None
    return Crash(error["ns"], reason, last_words, redelivered_ms)


def _errors_of_others(connection: Connection) -> list[str]:
    found = connection.sql(
        "SELECT trigger_name, log_text FROM system.processing_engine_logs "  # noqa: S608  ours
        f"WHERE log_level = 'ERROR' AND trigger_name <> '{_VICTIM}' ORDER BY event_time"
    )
    return [f"{row['trigger_name']}: {row['log_text']}" for row in found]
