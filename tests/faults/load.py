"""Clients that use a server until it dies, and remember what it has acknowledged."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable

from tests.faults.plugins import ANGERED, BAD, DATABASE
from tests.serving import Answer, Server

GONE = (OSError, http.client.HTTPException)
PAUSE_S = 0.01
BRIEF, DROPPED = "brief", "dropped"


class Memory:
    """What has been acknowledged over all lives of a server; any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: set[tuple[str, int]] = set()
        self.wide: set[int] = set()
        self.numbers = itertools.count(1)
        self.wrong: list[str] = []
        self.refused: list[str] = []

    def note(self, rows: list[tuple[str, int]]) -> None:
        with self.lock:
            self.rows.update(rows)


class Load:
    """All clients of one life of a server; each ends when the server is gone."""

    def __init__(self, server: Server, memory: Memory) -> None:
        self._server = server
        self._memory = memory
        self._is_over = threading.Event()
        self._spoilt = 0
        works = [self._write, self._write, self._widen, self._count]
        works += [self._drop, self._back_up, self._spoil]
        self._threads = [
            threading.Thread(target=self._run, args=(work, number))
            for number, work in enumerate(works)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, work: Callable[[str], float], number: int) -> None:
        while not self._is_over.is_set():
            try:
                pause_s = work(f"c{number}")
            except GONE:
                self._is_over.set()
                return
            self._is_over.wait(pause_s)

    def _note_refusal(self, answer: Answer) -> None:
        with self._memory.lock:
            self._memory.refused.append(f"{answer.status} {answer.text[:200]}")

    def _write(self, client: str) -> float:
        with self._memory.lock:
            numbers = [next(self._memory.numbers) for _ in range(5)]
        lines = "\n".join(f't,w={client} n={n}i,pad="{"x" * 50}" {n}' for n in numbers)
        answer = self._server.write(DATABASE, lines, precision="ns")
        if answer.status != 204:
            self._note_refusal(answer)
            return 0.1
        self._memory.note([(client, n) for n in numbers])
        return PAUSE_S

    def _widen(self, client: str) -> float:
        """Write rows that need a new column each, so that the catalog changes often."""
        number = next(self._memory.numbers)
        line = f"wide{number % 7} n={number}i,f{number}=1i {number}"
        answer = self._server.write(DATABASE, line, precision="ns")
        if answer.status != 204:
            return 0.1
        with self._memory.lock:
            self._memory.wide.add(number)
        return PAUSE_S

    def _count(self, client: str) -> float:
        """See whether a query finds what was acknowledged before it."""
        with self._memory.lock:
            before = len(self._memory.rows)
        if not before:
            return PAUSE_S
        query = "SELECT count(*) AS n FROM t"
        answer = self._server.request(
            "GET", "/api/v3/query_sql", db=DATABASE, q=query, format="json"
        )
        if answer.status != 200:
            self._memory.wrong.append(f"a query failed: {answer.text}")
        elif answer.json()[0]["n"] < before:
            self._memory.wrong.append(f"a query saw {answer.text} of {before} rows")
        return 0.1

    def _drop(self, client: str) -> float:
        """Make databases and tables and delete them for good."""
        name = f"{DROPPED}{next(self._memory.numbers)}"
        self._server.write(name, "a v=1i\nb v=1i")
        now = {"hard_delete_at": "now"}
        path = "/api/v3/configure"
        self._server.request("DELETE", f"{path}/table", db=name, table="a", **now)
        self._server.request("DELETE", f"{path}/database", db=name, **now)
        self._server.write(BRIEF, f"r v=1i {time.time_ns()}", precision="ns")
        return 0.2

    def _spoil(self, client: str) -> float:
        """Give two plugins what they cannot do: one dies of it, one is switched off by it."""
        number = next(self._memory.numbers)
        self._spoilt += 1
        if self._spoilt % 5 == 1:  # three deaths take a while, and the log is kept for so long
            self._server.write(BAD, f"poison n={number}i {number}", precision="ns")
        names = {"db": BAD, "trigger_name": ANGERED.name}
        path = "/api/v3/configure/processing_engine_trigger/enable"
        self._server.request("POST", path, **names)
        self._server.write(BAD, f"anger n={number}i {number}", precision="ns")
        return 0.4

    def _back_up(self, client: str) -> float:
        self._server.request("GET", "/api/v3/backup")
        return 0.5
