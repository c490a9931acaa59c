"""A random plan of writes, deaths and deletions, and what the tables must then hold.

Times and tags come from so few that most writes change rows that are in files already: a query
has to merge what is in memory with several files, and a compaction must not change what it finds.
"""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.world import LAUNCHER
from tests.serving import Server, eventually

SETTINGS = {
    "wal": {"segment_bytes": 30_000},
    "storage": {"persist_bytes": 6_000, "persist_age_s": 0.3, "retention_check_s": 0.3},
}
DATABASE = "db"
TABLES = ("p", "q")
DAY_NS = 86_400_000_000_000
FIELDS = ("f", "g", "h", "later")
Key = tuple[str | None, str | None, int]


@dataclass(slots=True)
class Model:
    """What each table must hold: the last value of each field by series and time."""

    tables: dict[str, dict[Key, dict[str, int]]] = field(default_factory=dict)

    def write(self, table: str, key: Key, values: dict[str, int]) -> None:
        self.tables.setdefault(table, {}).setdefault(key, {}).update(values)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        found = self.tables.get(table, {})
        return sorted(
            ((*key, *(values.get(name) for name in FIELDS)) for key, values in found.items()),
            key=repr,
        )


class Plan:
    """Steps drawn by chance, done to a server and to a model alike."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.model = Model()
        self.steps: list[str] = []
        self.server = Server(folder)
        self.server.program = LAUNCHER
        self.server.environment = {"BULKHEAD_SETTINGS": json.dumps(SETTINGS)}

    def run(self, steps: int) -> None:
        """Do steps; compare after some of them and at the end.

        Raises:
            AssertionError: the server does not hold what the model says.
        """
        self.server.start()
        try:
            self.server.create_database(DATABASE)
            for _ in range(steps):
                step = self.chance.choices(*zip(*self._choices(), strict=True))[0]
                self.steps.append(step.__name__)
                step()
            self._kill()
            self._compare()
        finally:
            self.server.close()

    def _choices(self) -> list[tuple[Any, int]]:
        return [
            (self._write, 60),
            (self._compare, 14),
            (self._compare_part, 14),
            (self._wait, 6),
            (self._kill, 2),
            (self._stop, 1),
            (self._drop, 2),
        ]

    def _write(self) -> None:
        table = self.chance.choice(TABLES)
        names = FIELDS if len(self.steps) > 20 else FIELDS[:3]  # a column that comes later
        lines = []
        for _ in range(self.chance.randrange(1, 40)):
            key = self._key()
            chosen = self.chance.sample(names, self.chance.randrange(1, len(names)))
            values = {name: self.chance.randrange(1000) for name in chosen}
            self.model.write(table, key, values)
            tags = "".join(f",{name}={v}" for name, v in zip("ab", key, strict=False) if v)
            text = ",".join(f"{name}={value}i" for name, value in values.items())
            lines.append(f"{table}{tags} {text} {key[2]}")
        answer = self.server.write(DATABASE, "\n".join(lines), precision="ns")
        assert answer.status == 204, answer.text

    def _key(self) -> Key:
        a = self.chance.choice(("x", "y", None))
        b = self.chance.choice(("u", "v", "w", None))
        return a, b, self.chance.randrange(3) * DAY_NS + self.chance.randrange(40) + 1

    def _query(self, table: str, where: str = "") -> list[tuple[Any, ...]]:
        columns = [row["column_name"] for row in self._columns(table)]
        if not columns:
            return []
        wanted = [name for name in ("a", "b", "time", *FIELDS) if name in columns]
        listed = ", ".join("time::bigint AS time" if name == "time" else name for name in wanted)
        found = self.server.sql(DATABASE, f"SELECT {listed} FROM {table} {where}")  # noqa: S608
        names = ("a", "b", "time", *FIELDS)
        return sorted((tuple(row.get(name) for name in names) for row in found), key=repr)

    def _columns(self, table: str) -> list[dict[str, Any]]:
        query = (
            "SELECT column_name FROM information_schema.columns "  # noqa: S608  ours
            f"WHERE table_schema = 'iox' AND table_name = '{table}'"
        )
        return self.server.sql(DATABASE, query)

    def _compare(self) -> None:
        for table in TABLES:
            assert self._query(table) == self.model.rows(table), self.steps

    def _compare_part(self) -> None:
        """Compare a range of times, which not all files overlap."""
        table = self.chance.choice(TABLES)
        low = self._key()[2]
        high = low + self.chance.choice((1, 10, DAY_NS))
        where = f"WHERE time >= to_timestamp_nanos({low}) AND time < to_timestamp_nanos({high})"
        wanted = [row for row in self.model.rows(table) if low <= row[2] < high]
        assert self._query(table, where) == wanted, (self.steps, low, high)

    def _wait(self) -> None:
        """Let files be written and compacted."""
        threading.Event().wait(0.4)

    def _kill(self) -> None:
        self.server.kill()
        self.server.start()

    def _stop(self) -> None:
        assert self.server.stop() == 0
        self.server.start()

    def _drop(self) -> None:
        table = self.chance.choice(TABLES)
        if table not in self.model.tables:
            return
        answer = self.server.request(
            "DELETE",
            "/api/v3/configure/table",
            db=DATABASE,
            table=table,
            hard_delete_at=self.chance.choice(("now", "never")),
        )
        assert answer.status == 200, answer.text
        del self.model.tables[table]
        eventually(lambda: not self._columns(table))
