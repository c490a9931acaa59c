"""Synchronous writes of a run: which key each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

import pytest

from engine.errors import Busy, EngineError
from engine.ingest.transaction import RunIdentity
from engine.model.entry import IdempotenceKey, Run
from engine.model.event import BufferedLines
from engine.workers.callbacks import Callbacks, Queries, RunContext, SharedValues
from worker.wire.messages import DoneReply, FaultReply, WriteCall


class Disk:
    """Keeps what has a new key; some attempts fail, at once or after a while."""

    def __init__(self, failing: Sequence[int], *, at_once: bool) -> None:
        self.failing = set(failing)
        self.at_once = at_once
        self.attempts = 0
        self.kept: dict[IdempotenceKey | None, str] = {}

    def write_now(
        self, who: RunIdentity, lines: BufferedLines, key: IdempotenceKey | None
    ) -> Future[int]:
        self.attempts += 1
        done: Future[int] = Future()
        if self.attempts not in self.failing:
            self.kept.setdefault(key, lines.text)
            done.set_result(1)
            return done
        error: EngineError = Busy("too much waits")
        if self.at_once:
            raise error
        done.set_exception(error)
        return done


def run(disk: Disk, *, gives_up: str | None = None) -> None:
    """Write three lines, each until it is there, or once if it is given up."""
    callbacks = Callbacks(cast("Queries", None), disk, cast("SharedValues", None))
    context = RunContext(RunIdentity(Run(7, "r"), "db", 1, (7,)), (5, 9))
    for line in ("a", "b", "c"):
        reply: object = None
        while not isinstance(reply, DoneReply):
            reply = callbacks.start(WriteCall(None, line, False), context).result()
            assert isinstance(reply, DoneReply | FaultReply)
            if line == gives_up:
                break


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("failing", [(), (1,), (2, 3), (1, 2, 4), (5,)])
@pytest.mark.parametrize("gives_up", [None, "a", "b"])
def test_a_repeated_run_stores_each_write_once_whichever_had_failed(
    failing: Sequence[int], gives_up: str | None, *, at_once: bool
) -> None:
    disk = Disk(failing, at_once=at_once)
    run(disk, gives_up=gives_up)  # the worker dies, and the event comes again
    run(disk)

    assert sorted(disk.kept.values()) == ["a", "b", "c"]
