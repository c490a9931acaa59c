"""`dead-letters`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from engine.ingest.internal import DeadLetter, pack_event
from engine.model.event import ScheduledEvent
from tests.http_services import EdgeParts

ONE = DeadLetter(
    10**18,
    "db",
    "watch",
    "one",
    "open",
    "schedule",
    tick=10**18,
    error="KeyError: 'ä'",
    event=pack_event(ScheduledEvent(10**18)),
)
TWO = replace(ONE, id="two")
OTHER = replace(ONE, id="three", trigger_name="other")
CLOSED = replace(ONE, id="four", state="retried")
COLUMNS = "id, event_time, database, trigger_name, state, kind, rows, attempts, error_code"
LIST = f"SELECT {COLUMNS}\nFROM system.processing_engine_dead_letters"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def letters(parts: EdgeParts) -> EdgeParts:
    parts.letters.known = [ONE, TWO, OTHER, CLOSED]
    return parts


@pytest.mark.parametrize(
    ("options", "database", "where"),
    [
        (["-d", "db"], "db", " WHERE state = 'open'"),
        (["-d", "db", "--all"], "db", ""),
        ([], "_internal", " WHERE state = 'open'"),
    ],
)
def test_list_asks_for_the_open_letters_of_a_database_or_all(
    at_server: Callable, parts: EdgeParts, options: list[str], database: str, where: str
) -> None:
    sql = f"{LIST}{where} ORDER BY event_time, id"
    parts.queries.databases.add("_internal")
    parts.queries.answers[sql] = pa.table({"id": ["one"]})

    ended = at_server("dead-letters", "list", *options, "--format", "csv")

    assert (ended.status, ended.out.split()) == (0, ["id", "one"])
    assert parts.queries.seen == [(database, sql, None)]


def test_show_prints_the_letter_with_its_event_as_json(
    at_server: Callable, letters: EdgeParts
) -> None:
    ended = at_server("dead-letters", "show", "-d", "db", "one")

    shown = json.loads(ended.out)
    assert (shown["id"], shown["error"]) == ("one", "KeyError: 'ä'")
    assert shown["event"] == {"scheduled_time": "2001-09-09T01:46:40.000000000Z"}


@pytest.mark.parametrize(
    ("choice", "ids"),
    [
        (["one"], ["one"]),
        (["--trigger", "watch"], ["one", "two"]),
        (["--all"], ["one", "two", "three"]),
    ],
)
def test_letters_are_retried_by_id_trigger_or_all(
    at_server: Callable, letters: EdgeParts, choice: list[str], ids: list[str]
) -> None:
    ended = at_server("dead-letters", "retry", "-d", "db", *choice)

    assert (ended.status, letters.letters.retried) == (0, ids)
    assert ended.out.splitlines() == [f"Dead letter {id_} handed to its trigger" for id_ in ids]


def test_letters_are_dropped_without_a_question_with_y(
    at_server: Callable, letters: EdgeParts
) -> None:
    ended = at_server("dead-letters", "drop", "-d", "db", "--trigger", "watch", "-y")

    assert (ended.status, letters.letters.dropped) == (0, ["one", "two"])
    assert ended.out.splitlines() == ["Dead letter one dropped", "Dead letter two dropped"]


def test_letter_that_is_named_is_dropped_without_a_question(
    at_server: Callable, letters: EdgeParts
) -> None:
    assert at_server("dead-letters", "drop", "-d", "db", "one").status == 0
    assert letters.letters.dropped == ["one"]


@pytest.mark.parametrize(
    ("answer", "status", "dropped"), [("y\n", 0, ["one", "two", "three"]), ("n\n", 1, [])]
)
def test_person_at_a_terminal_is_asked_first(
    at_server: Callable,
    letters: EdgeParts,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    dropped: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    ended = at_server("dead-letters", "drop", "-d", "db", "--all")

    assert (ended.status, letters.letters.dropped) == (status, dropped)
    assert "Drop 3 of the dead letters of database db?" in ended.err


def test_nothing_is_dropped_where_nobody_can_be_asked(
    at_server: Callable, letters: EdgeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    ended = at_server("dead-letters", "drop", "-d", "db", "--all")

    assert (ended.status, letters.letters.dropped) == (1, [])
    assert ended.err.startswith("Dead-letters command failed: nobody can be asked here")


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_nothing_to_do_is_success(at_server: Callable, parts: EdgeParts, verb: str) -> None:
    ended = at_server("dead-letters", verb, "-d", "db", "--all")

    assert (ended.status, ended.out) == (0, "No open dead letters\n")


@pytest.mark.parametrize("choice", [[], ["one", "--all"], ["--trigger", "watch", "--all"]])
def test_letters_are_named_in_exactly_one_way(
    at_server: Callable, letters: EdgeParts, choice: list[str]
) -> None:
    ended = at_server("dead-letters", "retry", "-d", "db", *choice)

    assert ended.status == 2
    assert "exactly one of ID, '--trigger <NAME>' and '--all' must be given" in ended.err


@pytest.mark.parametrize(
    ("letter", "answer"), [("none", "404 Not Found"), ("four", "409 Conflict")]
)
def test_letter_that_is_refused_fails_the_command(
    at_server: Callable, letters: EdgeParts, letter: str, answer: str
) -> None:
    ended = at_server("dead-letters", "retry", "-d", "db", letter)

    assert ended.status == 1
    assert ended.err.startswith(
        f"Dead-letters command failed: server responded with error [{answer}]: "
    )


def test_others_are_retried_when_one_is_refused(at_server: Callable, letters: EdgeParts) -> None:
    letters.letters.in_flight = {"one"}

    ended = at_server("dead-letters", "retry", "-d", "db", "--all")

    assert (ended.status, letters.letters.retried) == (1, ["two", "three"])
    assert "one: server responded with error [409 Conflict]" in ended.err
    assert "1 of 3 dead letters were refused" in ended.err
