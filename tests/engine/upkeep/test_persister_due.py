"""When a table's rows are due to go into files."""

from __future__ import annotations

import threading
from pathlib import Path

from engine.config import StorageConfig
from tests.persisting import Site


def row(time: int, **fields: object) -> dict[str, object]:
    return {"host": "a", "usage": 1.0, "time": time, **fields}


def due(site: Site) -> list[int]:
    return [load.table_id for load in site.persister._due()]  # noqa: SLF001


def test_a_table_is_due_when_it_is_large_or_old_or_all_are_too_large(tmp_path: Path) -> None:
    config = StorageConfig(persist_bytes=20_000, persist_age_s=100.0, persist_total_bytes=30_000)
    site = Site(tmp_path, config)
    site.create("a", "b", "c")
    a, b, c = (site.table(name).id for name in "abc")
    assert due(site) == []
    site.write([row(n, note="x" * 10) for n in range(500)], "a")
    assert site.buffer.bytes > 20_000
    assert due(site) == [a]
    site.persister.persist_all()
    site.write([row(n) for n in range(400)], "b")
    site.write([row(n) for n in range(300)], "c")
    assert due(site) == []
    site.clock.advance(60)
    site.write([row(n) for n in range(600)], "a")
    assert due(site) == [a]  # the largest, and that is enough
    site.clock.advance(41)
    assert set(due(site)) == {b, c}  # one is old, the other half as old; `a` is not


def test_an_old_row_of_a_small_table_does_not_keep_a_long_log(tmp_path: Path) -> None:
    config = StorageConfig(persist_age_s=1000.0, persist_total_bytes=5000)
    site = Site(tmp_path, config)
    site.create("quiet", "busy")
    site.persister._log_bytes = lambda start: 10_000 if start < 3 else 9999  # noqa: SLF001
    site.write([row(1)], "quiet")
    site.clock.advance(10)
    site.write([row(2)], "busy")
    site.clock.advance(1)

    assert due(site) == [site.table("quiet").id]
    site.persister._round(site.persister._due())  # noqa: SLF001
    assert site.catalog.catalog.persisted_to == 2
    assert due(site) == [site.table("busy").id]
    site.persister._round(site.persister._due())  # noqa: SLF001
    assert site.catalog.catalog.persisted_to == 3
    assert due(site) == []


def test_no_wait_is_longer_than_a_lock_can_wait(tmp_path: Path) -> None:
    site = Site(tmp_path, StorageConfig(persist_age_s=1e12))
    site.create("cpu")
    site.write([row(1)])

    wait_s = site.persister._wait_s()  # noqa: SLF001

    assert wait_s is not None
    assert 0 < wait_s < threading.TIMEOUT_MAX
