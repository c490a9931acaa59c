from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pyarrow as pa

from engine.ingest.history import RunHistory
from engine.ingest.internal import RunRecord
from engine.model.entry import TableRows


def record(number: int) -> RunRecord:
    return RunRecord(
        time=number,
        database="db",
        trigger_name="t",
        kind="schedule",
        run_id=str(number),
        position_from=None,
        position_to=None,
        tick=None,
        duration_ns=1,
        outcome="succeeded",
        attempts=1,
        rows_in=0,
        rows_out=0,
        cpu_s=None,
        peak_memory_bytes=None,
        error_code=None,
    )


class Tables:
    """Words records as rows of their times."""

    def runs(self, records: Sequence[RunRecord]) -> TableRows:
        return TableRows(0, 1, pa.record_batch({"time": [record.time for record in records]}))


class Writer:
    """Takes entries; the first commit lets the test go on and waits for it."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.is_writing, self.may_end = threading.Event(), threading.Event()

    def commit(self, entry: object) -> Future[int]:
        self.times += entry.tables[0].rows.column("time").to_pylist()
        self.is_writing.set()
        self.may_end.wait(10)
        return Future()


def test_what_is_added_while_the_last_records_are_written_is_written_too() -> None:
    writer = Writer()
    history = RunHistory(Tables(), writer)
    history.add(record(1))
    history.start()
    history.request_stop()
    assert writer.is_writing.wait(10)

    history.add(record(2))
    writer.may_end.set()
    history.stop()

    assert writer.times == [1, 2]
