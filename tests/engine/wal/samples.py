"""Small entries, a log with many segments, and a disk that fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from engine.model.entry import (
    CheckpointEntry,
    Client,
    Entry,
    IdempotenceKey,
    Position,
    Run,
    RunEntry,
    TableRows,
    WriteEntry,
)
from engine.model.schema import ColumnType
from engine.wal.disk import Disk
from engine.wal.log import Log


def rows(values: Sequence[float | None], host: str = "a") -> pa.RecordBatch:
    count = len(values)
    arrays = [
        pa.array([host] * count, ColumnType.TAG.arrow),
        pa.array(values, pa.float64()),
        pa.array(range(count), ColumnType.TIME.arrow),
    ]
    return pa.RecordBatch.from_arrays(arrays, names=["host", "load", "time"])


def write(*values: float, key: IdempotenceKey | None = None) -> WriteEntry:
    return WriteEntry(Client(), 1, (), key, (TableRows(1, 2, rows(values or (1.0,))),))


def run(trigger_id: int, low: int) -> RunEntry:
    return RunEntry(Run(trigger_id, "r"), 1, (trigger_id,), Position(low), ())


def plain(entry: Entry) -> tuple[object, ...]:
    """What of an entry can be compared: dictionaries of tags may differ, their values not."""
    if isinstance(entry, CheckpointEntry):
        return (entry,)
    tables = [
        (t.database_id, t.table_id, t.rows.schema.names, t.rows.schema.types, _values(t.rows))
        for t in entry.tables
    ]
    return replace(entry, tables=()), repr(tables)


def _values(batch: pa.RecordBatch) -> list[list[object]]:
    *columns, times = batch.columns
    return [column.to_pylist() for column in (*columns, times.cast(pa.int64()))]


def replayed(log: Log, start: int = 0) -> list[tuple[int, Entry]]:
    """Every entry with its sequence."""
    return [
        (sequence, entry)
        for read in log.read(max(start, log.first_sequence))
        for sequence, entry in enumerate(read.entries, read.first)
    ]


def loads(log: Log) -> list[float]:
    """The values written, in order of the log."""
    return [
        value
        for _, entry in replayed(log)
        if not isinstance(entry, CheckpointEntry)
        for table in entry.tables
        for value in table.rows.column("load").to_pylist()
    ]


def filled(
    directory: Path, batches: Iterable[Sequence[float]], segment_bytes: int = 1 << 20
) -> None:
    """Write a log with one record for each batch, one entry for each value."""
    log = Log.open(directory, segment_bytes=segment_bytes)
    for batch in batches:
        log.append([write(value) for value in batch])
    log.close()


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.wal"))


class FaultyDisk(Disk):
    """A disk whose next calls of one kind fail.

    `fail["sync"] = [error, None, error]` lets the first and the third next sync fail; a write that
    fails has written half of its first buffers.
    """

    def __init__(self) -> None:
        self.fail: dict[str, list[OSError | None]] = {}
        self.most_per_write: int | None = None

    def create(self, path: Path) -> int:
        self._meet("create")
        return super().create(path)

    def reserve(self, descriptor: int, start: int, length: int) -> None:
        self._meet("reserve")
        super().reserve(descriptor, start, length)

    def write(self, descriptor: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
        try:
            self._meet("write")
        except OSError:
            super().write(descriptor, [memoryview(buffers[0])[:10]], offset)
            raise
        if self.most_per_write is not None:
            buffers = [memoryview(buffers[0])[: self.most_per_write]]
        return super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        self._meet("sync")
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._meet("truncate")
        super().truncate(descriptor, size)

    def unlink(self, path: Path) -> None:
        self._meet("unlink")
        super().unlink(path)

    def _meet(self, call: str) -> None:
        planned = self.fail.get(call)
        error = planned.pop(0) if planned else None
        if error is not None:
            raise error


class GatedDisk(FaultyDisk):
    """A disk whose next sync, once the gate is shut, waits until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self._gate = threading.Event()
        self._gate.set()

    def shut(self) -> None:
        self.reached.clear()
        self._gate.clear()

    def open_gate(self) -> None:
        self._gate.set()

    def sync(self, descriptor: int) -> None:
        self.reached.set()
        assert self._gate.wait(10)
        super().sync(descriptor)
