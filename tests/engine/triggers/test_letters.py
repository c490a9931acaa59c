"""Dead letters over a real catalog, log and hot buffer; the trigger's inbox is a list."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from engine.app.durable import DurableState
from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.clock import ManualClock
from engine.config import Config
from engine.errors import DatabaseNotFound, DeadLetterNotOpen, NotFound, TriggerNotRunning
from engine.ingest.internal import DEAD_LETTERS, DEFAULT_RETENTION_NS, DeadLetter, pack_event
from engine.logs import LogRing
from engine.model.entry import Client, WriteEntry
from engine.model.event import TableBatch, WalEvent
from engine.model.trigger import AllTablesSpec, TriggerSettings
from engine.query.history_tables import DEAD_LETTER_COLUMNS, stored_columns
from engine.query.system_tables import SystemTables
from engine.query.tables import QueryService
from engine.triggers.letters import DeadLetters
from engine.workers.inbox import Redriven

NOW_NS = 4 * 10**18  # far in the future: what the buffer keeps does not depend on today
EVENT = WalEvent(
    3,
    5,
    (
        TableBatch(
            7,
            "cpu",
            pa.RecordBatch.from_pydict(
                {
                    "host": pa.array(["a"]).dictionary_encode(),
                    "time": pa.array([1], pa.timestamp("ns")),
                }
            ),
        ),
    ),
    (11, 12),
)


def letter(
    id_: str, database: str = "db", trigger: str = "t", kind: str = "wal_rows"
) -> DeadLetter:
    return DeadLetter(
        NOW_NS, database, trigger, id_, "open", kind, attempts=3, event=pack_event(EVENT)
    )


class Parts:
    """The letters, and what they stand on."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        config = Config("node0", str(folder), str(folder / "plugins"))
        self.state = DurableState(config, self._crashed, closing)
        self.state.start()
        self.clock = ManualClock(NOW_NS)
        self.taken: list[tuple[int, Redriven]] = []
        self.refusal: TriggerNotRunning | None = None
        system = SystemTables(LogRing())
        system.register_view(DEAD_LETTERS, DEAD_LETTERS, stored_columns(DEAD_LETTER_COLUMNS))
        queries = QueryService(self.state.catalog, self.state.buffer, system, clock=self.clock)
        closing.callback(queries.stop)
        self.letters = DeadLetters(
            self.state.catalog,
            queries,
            self.state.internal,
            self.state.writer,
            self._take,
        )
        for name in ("db", "other"):
            self.state.catalog.update(create_database(name, None))
        new = NewTrigger(
            database="db",
            name="t",
            plugin="p.py",
            spec=AllTablesSpec(),
            settings=TriggerSettings(),
            arguments=None,
            disabled=False,
        )
        self.state.catalog.update(create_trigger(new, start=1, now_ns=NOW_NS))

    def put(self, *rows: DeadLetter) -> None:
        part = self.state.internal.dead_letters(rows)
        entry = WriteEntry(Client(), part.database_id, (), None, (part,))
        self.state.writer.commit(entry).result(10)

    def _take(self, trigger_id: int, work: Redriven) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append((trigger_id, work))

    def _crashed(self, service: str, error: BaseException) -> None:
        raise AssertionError(service) from error


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with ExitStack() as closing:
        yield Parts(tmp_path, closing)


def test_letter_is_found_with_everything_that_was_kept(parts: Parts) -> None:
    parts.put(letter("one"), letter("two"))

    assert parts.letters.find("db", "one") == letter("one")
    assert parts.letters.find("_internal", "two") == letter("two")


def test_database_sees_its_own_letters_only(parts: Parts) -> None:
    parts.put(letter("one"), letter("two", "other"))

    assert [found.id for found in parts.letters.letters("db")] == ["one"]
    assert [found.id for found in parts.letters.letters("_internal")] == ["one", "two"]
    with pytest.raises(NotFound, match="dead letter two"):
        parts.letters.find("db", "two")
    with pytest.raises(DatabaseNotFound):
        parts.letters.letters("none")


def test_retry_hands_over_the_event_with_its_cause_chain(parts: Parts) -> None:
    parts.put(letter("one"))

    parts.letters.retry("db", "one")

    [(trigger_id, work)] = parts.taken
    assert trigger_id == parts.state.catalog.catalog.trigger_named("db", "t").id
    assert work.event == EVENT
    assert work.letter == letter("one")


def test_letter_is_not_in_flight_twice_and_free_again_after_a_run_that_failed(
    parts: Parts,
) -> None:
    parts.put(letter("one"))
    parts.letters.retry("db", "one")

    with pytest.raises(DeadLetterNotOpen, match="is being retried"):
        parts.letters.retry("db", "one")
    with pytest.raises(DeadLetterNotOpen, match="is being retried"):
        parts.letters.drop("db", "one")
    parts.taken[0][1].on_end()
    parts.letters.retry("db", "one")

    assert len(parts.taken) == 2


def test_many_who_retry_one_letter_at_once_run_it_once(parts: Parts) -> None:
    parts.put(letter("one"))
    refused: list[str] = []
    start = threading.Barrier(8)

    def retry() -> None:
        start.wait(10)
        try:
            parts.letters.retry("db", "one")
        except DeadLetterNotOpen as error:
            refused.append(str(error))

    threads = [threading.Thread(target=retry) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert (len(parts.taken), len(refused)) == (1, 7)


def test_retried_letter_is_closed_and_keeps_what_it_said(parts: Parts) -> None:
    parts.put(letter("one"))
    parts.put(letter("one").in_state("retried"))

    closed = parts.letters.find("db", "one")

    assert (closed.state, closed.attempts, closed.event) == ("retried", 3, letter("one").event)
    assert parts.letters.letters("db") == ()
    assert [found.id for found in parts.letters.letters("db", with_closed=True)] == ["one"]
    with pytest.raises(DeadLetterNotOpen, match="has been retried"):
        parts.letters.retry("db", "one")


def test_dropped_letter_is_closed_for_good(parts: Parts) -> None:
    parts.put(letter("one"))

    parts.letters.drop("db", "one")

    assert parts.letters.find("db", "one").state == "dropped"
    with pytest.raises(DeadLetterNotOpen, match="has been dropped"):
        parts.letters.drop("db", "one")


def test_letter_stays_free_when_its_trigger_does_not_take_it(parts: Parts) -> None:
    parts.put(letter("one"))
    parts.refusal = TriggerNotRunning("t")

    with pytest.raises(TriggerNotRunning, match="enable it first"):
        parts.letters.retry("db", "one")
    parts.letters.drop("db", "one")

    assert parts.letters.find("db", "one").state == "dropped"


def test_letter_whose_trigger_is_gone_or_another_cannot_be_retried(parts: Parts) -> None:
    parts.put(letter("one", trigger="gone"), letter("two", kind="schedule"))

    with pytest.raises(NotFound):
        parts.letters.retry("db", "one")
    with pytest.raises(TriggerNotRunning, match="other events"):
        parts.letters.retry("db", "two")

    assert parts.taken == []


def test_letter_past_its_retention_is_not_there(parts: Parts) -> None:
    parts.put(letter("one"))

    parts.clock.advance(DEFAULT_RETENTION_NS / 10**9 + 1)

    assert parts.letters.letters("db", with_closed=True) == ()
    with pytest.raises(NotFound):
        parts.letters.find("db", "one")
