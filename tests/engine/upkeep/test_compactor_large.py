from __future__ import annotations

import logging
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from engine.storage.parquet import uncompressed_bytes
from tests.compacting import compact_all, persist, row, touching
from tests.persisting import Site

_LIMIT = 100_000


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many bytes a file that is made from others has; files are persisted as they come."""
    for module in ("weights", "merging"):
        monkeypatch.setattr(f"engine.upkeep.{module}.MAX_BYTES", _LIMIT)


def persist_large(site: Site, *times: int, size: int = 10_000) -> None:
    site.write([row(time, note=f"{time:{size}}") for time in times])
    site.persister.persist_all()


def test_large_rows_are_not_put_into_one_file_of_any_size(site: Site) -> None:
    site.create("cpu")
    for n in range(16):
        persist_large(site, 2 * n, 2 * n + 1)
    before = site.points()

    assert compact_all(site) == 4
    files = site.table().files
    assert [file.rows for file in files] == [8] * 4
    assert max(uncompressed_bytes(site.root, file) for file in files) <= _LIMIT
    assert site.points() == before


def test_large_rows_over_the_same_time_are_put_together_in_slices(site: Site) -> None:
    site.create("cpu")
    for part in range(6):
        persist_large(site, *range(part, part + 54, 6))
    before = site.points()

    assert compact_all(site) >= 1
    files = site.table().files
    assert (touching(site), len(files)) == (0, 7)
    assert max(uncompressed_bytes(site.root, file) for file in files) <= _LIMIT
    assert site.points() == before


def test_large_rows_among_small_ones_are_never_all_read_at_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.create("cpu")
    for part in range(4):
        small = [row(1000 + 4 * n + part) for n in range(50)]
        site.write([*(row(4 * n + part, note="x" * 10_000) for n in range(7)), *small])
        site.persister.persist_all()
    before, paths = site.points(), site.paths_on_disk()

    with caplog.at_level(logging.WARNING):
        assert compact_all(site) == 0

    why = [r.__dict__["why"] for r in caplog.records]
    assert why == ["too many large rows have about the same time"]
    assert (site.points(), site.paths_on_disk()) == (before, paths)


def test_a_file_over_the_limit_is_told_once_and_others_go_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.create("cpu")
    for n in range(9):
        persist_large(site, 10 * n, size=_LIMIT + 1 if n == 4 else 10)
    before, large = site.points(), site.table().files[4]

    with caplog.at_level(logging.WARNING):
        assert compact_all(site) == 2
        assert compact_all(site) == 0

    assert len(site.table().files) == 3
    assert large in site.table().files
    (record,) = caplog.records
    assert large.path in record.__dict__["why"]
    assert site.points() == before


@pytest.mark.parametrize("place", ["weights.uncompressed_bytes", "merging.write_one"])
@pytest.mark.parametrize("error", [pa.ArrowInvalid, pa.ArrowMemoryError, pa.ArrowCapacityError])
def test_what_arrow_cannot_do_is_told_once_and_other_tables_go_on(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
    error: type[pa.ArrowException],
) -> None:
    site.create("cpu", "mem")
    for n in range(4):
        persist(site, n)
    before, paths = site.points(), site.paths_on_disk()

    def fail(*_: object) -> None:
        raise error("offset overflow while concatenating arrays")

    seen = threading.Event()
    try:
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(f"engine.upkeep.{place}", fail)
            site.compactor.start()
            for _ in range(1000):
                if caplog.records:
                    break
                seen.wait(0.01)
        for n in range(4):
            site.write([row(n)], "mem")
            site.persister.persist_all()
        site.catalog.subscribe(lambda *_: seen.set())
        site.compactor.wake()
        assert seen.wait(10)
    finally:
        assert site.compactor.stop()

    assert [record.message for record in caplog.records] == ["files are left as they are"]
    assert "offset overflow" in caplog.records[0].__dict__["why"]
    assert site.points() == before
    assert paths < site.paths_on_disk()
    assert (len(site.table().files), len(site.table("mem").files)) == (4, 1)


def test_nothing_is_left_of_slices_when_arrow_fails_at_a_later_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create("cpu")
    for part in range(6):
        persist_large(site, *range(part, part + 54, 6))
    paths = site.paths_on_disk()
    calls: list[Path] = []

    def fail(path: Path, points: pa.RecordBatch) -> tuple[int, int]:
        calls.append(path)
        path.write_bytes(b"begun")
        if len(calls) > 2:
            raise pa.ArrowInvalid("overflow")
        return points.num_rows, 0

    monkeypatch.setattr("engine.storage.parquet._write", fail)

    assert not site.compactor.compact_one()
    assert len(calls) == 3
    assert site.paths_on_disk() == paths
