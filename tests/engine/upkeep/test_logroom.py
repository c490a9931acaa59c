from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.catalog.commands import (
    NewTrigger,
    create_database,
    create_trigger,
    disable_trigger,
    set_persisted,
)
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.model.entry import Client, Entry, IdempotenceKey, Position, Run, WriteEntry
from engine.model.trigger import AllTablesSpec, TriggerSettings
from engine.upkeep.logroom import Forced, LogRoom
from engine.upkeep.quiet import Quiet
from engine.wal.log import Log

LARGE = 2**40


class Node:
    """A log of many segments, and what knows which of them may go."""

    def __init__(self, root: Path, max_lag_bytes: int = LARGE) -> None:
        self.log = Log.open(root / "wal", segment_bytes=300)
        self.catalog = CatalogStore.open(LocalObjects(root))
        self.catalog.update(create_database("db"))
        self.lows: dict[int, int] = {}
        self.told: list[Sequence[Forced]] = []
        self.first_when_told = 0
        self.room = LogRoom(
            self.log,
            self.catalog,
            quiet=Quiet(),
            max_lag_bytes=max_lag_bytes,
            lows=lambda: self.lows,
            commit=self._commit,
            on_forced=self._tell,
        )

    def trigger(self, name: str, start: int = 1) -> int:
        new = NewTrigger("db", name, "p.py", AllTablesSpec(), TriggerSettings(), {})
        catalog = self.catalog.update(create_trigger(new, start=start, now_ns=0))
        return catalog.trigger_named("db", name).id

    def fill(self, entries: int) -> int:
        for _ in range(entries):
            self.log.append([WriteEntry(Client(), 1, (), None, ())])
        return self.log.next_sequence

    def persist(self, to: int) -> None:
        self.catalog.update(set_persisted(to))

    def _commit(self, entry: Entry) -> Future[int]:
        done: Future[int] = Future()
        done.set_result(self.log.append([entry]))
        return done

    def _tell(self, forced: Sequence[Forced]) -> None:
        self.told.append(forced)
        self.first_when_told = self.log.first_sequence


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def made(**settings: int) -> Node:
        nodes.append(Node(tmp_path, **settings))
        return nodes[-1]

    yield made
    for node in nodes:
        node.log.close()


def test_segments_whose_rows_are_in_files_go(make: Callable[..., Node]) -> None:
    node = make()
    node.fill(40)
    segments = node.log.segments()
    assert len(segments) > 4
    assert node.room.drop() == ()
    assert node.log.first_sequence == 1
    node.persist(segments[2][0] + 1)

    assert node.room.drop() == ()
    assert node.log.first_sequence == segments[2][0]
    assert node.told == []


def test_the_last_segment_always_stays(make: Callable[..., Node]) -> None:
    node = make()
    node.persist(node.fill(40))

    node.room.drop()

    assert len(node.log.segments()) == 1


def test_a_trigger_holds_back_what_it_has_not_read(make: Callable[..., Node]) -> None:
    node = make()
    trigger = node.trigger("slow")
    end = node.fill(40)
    node.persist(end)
    node.room.drop()
    assert node.log.first_sequence == 1
    node.lows[trigger] = 20

    node.room.drop()

    assert 1 < node.log.first_sequence <= 20
    assert node.told == []


def test_a_position_is_durable_before_the_log_behind_it_goes(make: Callable[..., Node]) -> None:
    node = make()
    trigger = node.trigger("idle")
    end = node.fill(40)
    node.persist(end)
    node.lows[trigger] = end

    node.room.drop()

    assert node.log.checkpoint().positions[trigger] == Position(end)
    assert len(node.log.segments()) <= 2


def test_a_disabled_trigger_holds_nothing_back(make: Callable[..., Node]) -> None:
    node = make()
    node.trigger("off")
    node.persist(node.fill(40))
    node.catalog.update(disable_trigger("db", "off"))

    node.room.drop()

    assert len(node.log.segments()) == 1
    assert node.told == []


def test_an_open_event_holds_back_its_entries(make: Callable[..., Node]) -> None:
    node = make()
    trigger = node.trigger("open")
    key = IdempotenceKey(trigger, 5, 9, 0)
    node.fill(12)
    node.log.append([WriteEntry(Run(trigger, "r"), 1, (trigger,), key, ())])
    end = node.fill(40)
    node.persist(end)
    node.lows[trigger] = end

    node.room.drop()

    assert node.log.first_sequence <= 5


def test_over_the_limit_the_oldest_go_and_who_loses_them_is_told_before(
    make: Callable[..., Node],
) -> None:
    node = make(max_lag_bytes=900)
    slow, quick = node.trigger("slow"), node.trigger("quick")
    end = node.fill(40)
    node.persist(end)
    node.lows[quick] = end

    forced = node.room.drop()

    assert forced == (Forced(slow, 1, node.log.first_sequence),)
    assert node.told == [forced]
    assert node.first_when_told == 1
    assert slow not in node.log.checkpoint().positions  # its next start tells of the gap
    assert node.log.size_bytes < 900 + 700  # the positions were committed after


def test_rows_that_are_in_no_file_stay_whatever_the_limit(make: Callable[..., Node]) -> None:
    node = make(max_lag_bytes=1)
    node.trigger("slow")
    node.fill(40)
    node.persist(6)

    node.room.drop()

    assert node.log.first_sequence <= 6


def test_an_event_in_hand_keeps_its_keys_when_its_entries_are_forced_out(
    make: Callable[..., Node],
) -> None:
    node = make(max_lag_bytes=900)
    trigger = node.trigger("slow")
    key = IdempotenceKey(trigger, 5, 9, 0)
    node.fill(12)
    node.log.append([WriteEntry(Run(trigger, "r"), 1, (trigger,), key, ())])
    node.persist(node.fill(40))
    node.lows[trigger] = 5

    assert node.room.drop()

    assert node.log.first_sequence > 9
    assert node.log.has_key(key)  # a run that is repeated writes at once as the first did
