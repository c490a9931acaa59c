"""Files of a table, and the compactor that puts them together."""

from __future__ import annotations

from tests.persisting import Row, Site

DAY_NS = 86_400 * 10**9


def row(time: int, **fields: object) -> Row:
    return {"host": "a", "usage": 1.0, "time": time, **fields}


def persist(site: Site, *times: int, note: str = "n") -> None:
    site.write([row(time, note=f"{note}{time}") for time in times])
    site.persister.persist_all()


def compact_all(site: Site) -> int:
    count = 0
    while site.compactor.compact_one():
        count += 1
    return count


def persist_all_over(site: Site, parts: int, rows: int = 10) -> None:
    for part in range(parts):
        persist(site, *range(part, part + rows * parts, parts), note=f"{part}:")


def touching(site: Site) -> int:
    files = site.table().files
    return sum(
        a.min_ns <= b.max_ns and b.min_ns <= a.max_ns
        for n, a in enumerate(files)
        for b in files[:n]
    )
