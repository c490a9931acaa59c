from __future__ import annotations

import pyarrow as pa
import pytest

from engine.catalog.state import Table
from engine.errors import DiskFailed
from engine.storage.files import Files
from engine.upkeep.writing import Kept, write_rows
from tests.compacting import row
from tests.persisting import Site


def test_an_entry_of_two_hundred_megabytes_is_persisted(site: Site) -> None:
    site.create("cpu")
    text = "x" * (10 * 2**20)
    site.write([row(n, note=text) for n in range(20)])

    site.persister.persist_all()

    assert site.buffer.tables() == ()
    assert [file.rows for file in site.table().files] == [20]


def test_large_rows_go_into_several_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.upkeep.writing.MAX_BYTES", 100_000)
    site.create("cpu")
    site.write([row(n, note="x" * 10_000) for n in range(36)])
    before = site.points()

    site.persister.persist_all()

    assert [file.rows for file in site.table().files] == [9, 9, 9, 9]
    assert site.points() == before


def test_no_more_is_taken_at_once_than_an_array_may_have(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.upkeep.persister._MOST_TAKEN_BYTES", 15_000)
    site.create("cpu")
    for n in range(4):
        site.write([row(n, note="x" * 10_000)])
    before = site.points()

    site.persister.persist_all()

    assert [file.rows for file in site.table().files] == [2, 2]
    assert site.points() == before


def test_a_table_that_arrow_cannot_write_keeps_its_rows_and_others_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create("cpu", "mem")
    site.write([row(1)])
    site.write([row(2)], "mem")
    before = site.points(), site.points("mem")

    def fail(files: Files, table: Table, rows: list[pa.RecordBatch], kept: Kept) -> object:
        if table.name == "cpu":
            raise pa.ArrowInvalid("offset overflow")
        return write_rows(files, table, rows, kept)

    with monkeypatch.context() as patch:
        patch.setattr("engine.upkeep.persister.write_rows", fail)
        for _ in range(2):
            with pytest.raises(DiskFailed, match=r"rows of cpu .* offset overflow"):
                site.persister.persist_all()

    assert (site.points(), site.points("mem")) == before
    assert (len(site.table().files), len(site.table("mem").files)) == (0, 1)
    assert site.catalog.catalog.persisted_to == 1
    site.persister.persist_all()
    assert (site.points(), site.points("mem")) == before
    assert len(site.table().files) == 1
    assert site.catalog.catalog.persisted_to == 3


def test_nothing_is_left_of_a_file_that_arrow_could_not_write(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create("cpu")
    site.write([row(1)])

    def fail(*_: object, **__: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 2147483648 failed")

    monkeypatch.setattr("engine.storage.parquet.pq.ParquetWriter", fail)

    with pytest.raises(DiskFailed, match="malloc"):
        site.persister.persist_all()
    assert site.paths_on_disk() == set()
