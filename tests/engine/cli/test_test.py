"""Commands that test a plugin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import PluginFileError
from engine.model.dryrun import (
    DryRun,
    DryRunReport,
    RequestOccasion,
    ScheduleOccasion,
    WriteOccasion,
)
from engine.model.event import PluginResponse, RequestEvent
from tests.http_services import EdgeParts

WAL = ("test", "wal_plugin", "-d", "db")
REQUEST = ("test", "request_plugin", "-d", "db")


def test_the_report_is_printed_and_errors_are_no_failure(
    at_server: Callable, parts: EdgeParts
) -> None:
    parts.dry_runs.report = DryRunReport(("INFO: é",), {"db": ("t v=1",)}, ("bad",))

    ended = at_server(*WAL, "--lp", "t v=1", "p.py")

    report = {"log_lines": ["INFO: é"], "database_writes": {"db": ["t v=1"]}, "errors": ["bad"]}
    assert ended.status == 0
    assert ended.out == json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def test_options_of_a_wal_test_reach_the_server(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    lines.write_text("t v=1\n")

    at_server(
        *WAL, "--file", str(lines), "--input-arguments", "a=1,b=x=y", "--cache-name", "c", "p.py"
    )

    arguments = {"a": "1", "b": "x=y"}
    assert parts.dry_runs.seen == [DryRun("p.py", "db", arguments, "c", WriteOccasion("t v=1\n"))]


def test_a_schedule_may_be_given(at_server: Callable, parts: EdgeParts) -> None:
    words = ("test", "schedule_plugin", "-d", "db", "--schedule", "0 0 * * * *", "p.py")

    assert json.loads(at_server(*words).out)["trigger_time"] is None
    assert parts.dry_runs.seen[0].occasion == ScheduleOccasion("0 0 * * * *")


def test_a_request_is_made_of_options(at_server: Callable, parts: EdgeParts) -> None:
    parts.dry_runs.report = DryRunReport(response=PluginResponse(200, (), b"hello"))

    ended = at_server(
        *(*REQUEST, "--query", "a=1,b=2", "--header", "X-A: b:c", "--header", "X-B:d"),
        *("--body", "text", "p.py"),
    )

    event = RequestEvent({"a": "1", "b": "2"}, {"x-a": "b:c", "x-b": "d"}, b"text")
    assert parts.dry_runs.seen[0].occasion == RequestOccasion(event)
    assert json.loads(ended.out)["body"] == "hello"


def test_a_body_may_be_a_file_of_any_bytes(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"\xff\0")

    at_server(*REQUEST, "--body-file", str(file), "p.py")

    occasion = parts.dry_runs.seen[0].occasion
    assert isinstance(occasion, RequestOccasion)
    assert occasion.event.body == b"\xff\0"


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        ((*WAL, "p.py"), 1, "Test command failed: either --lp or --file must be provided"),
        ((*WAL, "--file", "nowhere", "p.py"), 1, "cannot read nowhere"),
        ((*WAL, "--lp", "a", "--file", "b", "p.py"), 2, "cannot be used with '--file <FILE>'"),
        ((*WAL, "--lp", "a", "--input-arguments", "x", "p.py"), 2, 'formatted as "key=value"'),
        ((*REQUEST, "--header", "x", "p.py"), 2, 'formatted as "name:value"'),
        ((*REQUEST, "--body", "a", "--body-file", "b", "p.py"), 2, "'--body-file <FILE>'"),
        ((*REQUEST, "--body-file", "nowhere", "p.py"), 1, "cannot read nowhere"),
        (WAL, 2, "the following required arguments were not provided:\n  <FILENAME>"),
    ],
)
def test_what_makes_no_sense_is_refused(
    at_server: Callable, words: tuple[str, ...], status: int, complaint: str
) -> None:
    ended = at_server(*words)

    assert ended.status == status
    assert complaint in ended.err


def test_a_plugin_that_is_not_there_fails_the_command(
    at_server: Callable, parts: EdgeParts
) -> None:
    parts.dry_runs.report = PluginFileError("reading plugin file: Plugin not found: x")

    ended = at_server(*WAL, "--lp", "t v=1", "x")

    assert ended.status == 1
    assert "[500 Internal Server Error]: Plugin error: reading plugin file" in ended.err
