"""Dry runs over HTTP."""

import httpx
import pytest

from engine.errors import Busy, PluginFileError
from engine.model.dryrun import (
    DryRun,
    DryRunReport,
    RequestOccasion,
    ScheduleOccasion,
    WriteOccasion,
)
from engine.model.event import PluginResponse, RequestEvent
from tests.http_services import EdgeParts

WAL = "/api/v3/plugin_test/wal"
SCHEDULE = "/api/v3/plugin_test/schedule"
REQUEST = "/api/v3/plugin_test/request"
PLUGIN = {"filename": "p.py", "database": "db"}
REPORT = DryRunReport(("INFO: a",), {"db": ("t v=1",)}, ("an error",))
SHOWN = {"log_lines": ["INFO: a"], "database_writes": {"db": ["t v=1"]}, "errors": ["an error"]}


def test_a_wal_test_is_run_as_asked(client: httpx.Client, parts: EdgeParts) -> None:
    parts.dry_runs.report = REPORT
    more = {"input_lp": "t v=1", "cache_name": "mine", "input_arguments": {"a": "1"}}

    answer = client.post(WAL, json={**PLUGIN, **more})

    assert parts.dry_runs.seen == [DryRun("p.py", "db", {"a": "1"}, "mine", WriteOccasion("t v=1"))]
    assert (answer.status_code, answer.json()) == (200, SHOWN)


def test_a_schedule_test_has_a_tick_every_second_unless_told(
    client: httpx.Client, parts: EdgeParts
) -> None:
    parts.dry_runs.report = DryRunReport(trigger_time_ns=1_735_689_605 * 10**9)

    answer = client.post(SCHEDULE, json={**PLUGIN, "schedule": None, "cache_name": None})
    client.post(SCHEDULE, json={**PLUGIN, "schedule": "0 0 * * * *"})

    assert answer.json()["trigger_time"] == "2025-01-01T00:00:05Z"
    assert parts.dry_runs.seen == [
        DryRun("p.py", "db", None, "_shared_test", ScheduleOccasion("* * * * * *")),
        DryRun("p.py", "db", None, "_shared_test", ScheduleOccasion("0 0 * * * *")),
    ]


def test_a_schedule_without_a_tick_has_no_time(client: httpx.Client) -> None:
    assert client.post(SCHEDULE, json=PLUGIN).json()["trigger_time"] is None


def test_a_request_test_gets_what_a_plugin_would_get(
    client: httpx.Client, parts: EdgeParts
) -> None:
    response = PluginResponse(201, (("Content-Type", "text/plain"),), b"hi")
    parts.dry_runs.report = DryRunReport(response=response)
    more = {
        "query_parameters": {"q": "1"},
        "headers": {"X-Mine": "a", "Authorization": "secret"},
        "body": "text",
    }

    answer = client.post(REQUEST, json={**PLUGIN, **more})

    event = RequestEvent({"q": "1"}, {"x-mine": "a"}, b"text")
    assert parts.dry_runs.seen[0].occasion == RequestOccasion(event)
    assert list(answer.json().items())[:3] == [
        ("status", 201),
        ("headers", {"Content-Type": "text/plain"}),
        ("body", "hi"),
    ]


def test_bodies_that_are_no_text_travel_as_base64(client: httpx.Client, parts: EdgeParts) -> None:
    parts.dry_runs.report = DryRunReport(response=PluginResponse(200, (), b"\xff"))

    answer = client.post(REQUEST, json={**PLUGIN, "body_base64": "/w=="})

    occasion = parts.dry_runs.seen[0].occasion
    assert isinstance(occasion, RequestOccasion)
    assert occasion.event.body == b"\xff"
    assert answer.json()["body_base64"] == "/w=="


def test_a_header_that_comes_twice_has_both_values(client: httpx.Client, parts: EdgeParts) -> None:
    headers = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    parts.dry_runs.report = DryRunReport(response=PluginResponse(200, headers, b""))

    answer = client.post(REQUEST, json=PLUGIN)

    assert answer.json()["headers"] == {"Set-Cookie": ["a=1", "b=2"]}


def test_no_answer_has_no_status(client: httpx.Client) -> None:
    assert client.post(REQUEST, json=PLUGIN).json()["status"] is None


@pytest.mark.parametrize(
    ("path", "more", "complaint"),
    [
        (WAL, {}, "serde json error: missing field `input_lp`"),
        (WAL, {"input_lp": "t v=1", "input_arguments": {"a": 1}}, "`a` of `input_arguments`"),
        (REQUEST, {"body": "a", "body_base64": ""}, "cannot be given together"),
        (REQUEST, {"body_base64": "%"}, "`body_base64` is no base64"),
    ],
)
def test_what_cannot_be_read_is_refused(
    client: httpx.Client, path: str, more: dict[str, object], complaint: str
) -> None:
    answer = client.post(path, json={**PLUGIN, **more})

    assert answer.status_code == 400
    assert complaint in answer.text


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (PluginFileError("reading plugin file: Plugin not found: x"), 500, "Plugin error: reading"),
        (Busy("two plugins are being tested"), 503, "two plugins"),
    ],
)
def test_a_run_that_cannot_begin_is_an_error(
    client: httpx.Client, parts: EdgeParts, error: Exception, status: int, text: str
) -> None:
    parts.dry_runs.report = error

    answer = client.post(WAL, json={**PLUGIN, "input_lp": "t v=1"})

    assert answer.status_code == status
    assert answer.text.startswith(text)
