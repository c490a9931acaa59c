from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.catalog.change import Decide
from engine.catalog.missing import create_missing
from engine.catalog.objects import LocalObjects
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.errors import Busy, EmptyWrite, HotBufferFull, InvalidParameter
from engine.ingest.writer import LinesRejected, Writer, WriteReport, WriteRequest
from engine.lineprotocol import Precision, parse
from engine.model.columns import ParsedLines
from engine.model.entry import (
    Client,
    Entry,
    TableRows,
    WriteEntry,
)
from engine.model.schema import Column, ColumnType


class MemoryLog:
    """Takes entries at once, or keeps their writers waiting."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[Future[int]] = []
        self.is_slow = False

    def submit(self, entry: Entry) -> Future[int]:
        self.entries.append(entry)
        durable: Future[int] = Future()
        if self.is_slow:
            self.waiting.append(durable)
        else:
            durable.set_result(len(self.entries))
        return durable

    def tables(self) -> list[TableRows]:
        return [table for entry in self.entries for table in entry.tables]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def catalog(tmp_path: Path) -> CatalogStore:
    return CatalogStore.open(LocalObjects(tmp_path))


@pytest.fixture
def writer(catalog: CatalogStore, log: MemoryLog) -> Iterator[Writer]:
    writer = Writer(
        catalog,
        log,
        ManualClock(1_700_000_000_000_000_000),
        buffered_bytes=lambda: 1_000_000 if len(log.entries) >= 100 else 0,
        hot_buffer_bytes=1_000_000,
        max_pending_bytes=1000,
    )
    yield writer
    writer.stop()


def write(writer: Writer, body: bytes | str, *, partial: bool = True) -> Future[WriteReport]:
    content = body.encode() if isinstance(body, str) else body
    return writer.submit(WriteRequest("db", content, Precision.NANOSECOND, partial))


def test_a_write_makes_database_table_and_columns_and_one_entry(
    writer: Writer, catalog: CatalogStore, log: MemoryLog
) -> None:
    report = write(writer, "cpu,host=a v=1 1\nmem free=2i 2\ncpu,host=b v=3 3").result(5)

    tables = catalog.catalog.database("db").tables
    assert report == WriteReport(3, (), limit_hit=False)
    [entry] = log.entries
    assert isinstance(entry, WriteEntry)
    assert entry.origin == Client()
    assert {t.table_id: t.rows.num_rows for t in entry.tables} == {
        tables["cpu"].id: 2,
        tables["mem"].id: 1,
    }


def test_good_lines_land_and_bad_ones_are_told_with_number_and_text(
    writer: Writer, log: MemoryLog
) -> None:
    report = write(writer, "cpu v=1 1\nnonsense\ncpu v=2i 2\ncpu v=3 3").result(5)

    assert report.rows == 2
    assert [(line.number, line.text) for line in report.rejected] == [
        (2, "nonsense"),
        (3, "cpu v=2i 2"),
    ]
    assert "expected iox::column_type::field::float" in report.rejected[1].reason
    assert log.tables()[0].rows["time"].cast("int64").to_pylist() == [1, 3]


def test_one_bad_line_of_a_strict_write_leaves_nothing_behind(
    writer: Writer, catalog: CatalogStore, log: MemoryLog
) -> None:
    with pytest.raises(LinesRejected) as refused:
        write(writer, "cpu v=1 1\nnonsense", partial=False).result(5)

    assert [line.number for line in refused.value.rejected] == [2]
    assert log.entries == []
    assert "db" not in catalog.catalog.databases


def test_only_bad_lines_write_nothing_and_make_nothing(
    writer: Writer, catalog: CatalogStore, log: MemoryLog
) -> None:
    report = write(writer, "nonsense").result(5)

    assert (report.rows, len(report.rejected)) == (0, 1)
    assert log.entries == []
    assert "db" not in catalog.catalog.databases


def test_lines_of_tables_beyond_the_limit_are_rejected_and_the_others_land(
    writer: Writer, catalog: CatalogStore, log: MemoryLog
) -> None:
    new = {f"t{number}": () for number in range(1999)}
    catalog.update(lambda before: create_missing(before, "other", new))

    report = write(writer, "bad v=1,v=1\na v=1\nb v=1\na v=2\nb v=2\nc v=1").result(5)

    assert (report.rows, report.limit_hit) == (2, True)
    assert [line.number for line in report.rejected] == [1, 3, 5, 6]
    assert "already have 2000 table(s) (limit: 2000)" in report.rejected[1].reason
    assert set(catalog.catalog.database("db").tables) == {"a"}
    assert [table.rows.num_rows for table in log.tables()] == [2]


def test_columns_that_another_writer_took_first_cost_only_the_lines_that_need_them(
    writer: Writer, catalog: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, "cpu base=1 1").result(5)
    taken = tuple(Column(f"c{number}", ColumnType.FLOAT) for number in range(499))
    update = catalog.update

    def be_second(decide: Decide) -> Catalog:
        update(lambda before: create_missing(before, "db", {"cpu": taken}))
        return update(decide)

    monkeypatch.setattr(catalog, "update", be_second)

    report = write(writer, "cpu late=1 2\ncpu base=2 2").result(5)

    assert (report.rows, report.limit_hit, len(report.rejected)) == (1, True, 1)


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"", EmptyWrite), (b"# a comment\n\n", EmptyWrite), (b"cpu v=1\xff", InvalidParameter)],
)
def test_an_empty_or_unreadable_body_is_refused(
    writer: Writer, body: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        write(writer, body).result(5)


def test_too_many_bytes_on_their_way_are_refused_until_some_are_durable(
    writer: Writer, log: MemoryLog
) -> None:
    log.is_slow = True
    first = write(writer, f'cpu s="{"x" * 600}"')

    with pytest.raises(Busy):
        write(writer, f'cpu s="{"x" * 600}"')
    while not log.waiting:
        assert not first.done()
    log.waiting[0].set_result(1)

    assert first.result(5).rows == 1
    log.is_slow = False
    assert write(writer, f'cpu s="{"x" * 600}"').result(5).rows == 1


def test_a_small_body_does_not_wait_for_large_ones(
    catalog: CatalogStore, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def parse_slowly(text: str, precision: Precision, now_ns: int) -> ParsedLines:
        assert len(text) < 1000 or go.wait(10)
        return parse(text, precision, now_ns)

    monkeypatch.setattr("engine.ingest.writer.parse", parse_slowly)
    writer = Writer(
        catalog,
        log,
        ManualClock(0),
        buffered_bytes=lambda: 0,
        hot_buffer_bytes=1,
        max_pending_bytes=2**30,
    )
    large = [write(writer, f'cpu s="{"x" * 400_000}"') for _ in range(4)]

    assert write(writer, "cpu v=1").result(5).rows == 1
    assert not any(answer.done() for answer in large)
    go.set()
    assert [answer.result(5).rows for answer in large] == [1, 1, 1, 1]
    writer.stop()


def test_a_full_buffer_refuses_writes(writer: Writer, log: MemoryLog) -> None:
    log.entries += [WriteEntry(Client(), 1, (), None, ())] * 100

    with pytest.raises(HotBufferFull, match="--hot-buffer-limit"):
        write(writer, "cpu v=1")
