from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from engine.app.durable import DurableState
from engine.config import Config
from engine.ingest.internal import DEAD_LETTERS, RUNS, DeadLetter, RunRecord
from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.names import INTERNAL_DATABASE

DAY_NS = 86_400 * 10**9
LETTER = DeadLetter(0, "db", "t", "x", "open")
RUN = RunRecord(
    time=0,
    database="db",
    trigger_name="t",
    kind="wal_rows",
    run_id="r",
    position_from=1,
    position_to=2,
    tick=None,
    duration_ns=1,
    outcome="succeeded",
    attempts=1,
    rows_in=1,
    rows_out=0,
    cpu_s=None,
    peak_memory_bytes=None,
    error_code=None,
)


def open_state(folder: Path, closing: ExitStack) -> DurableState:
    def crashed(service: str, error: BaseException) -> None:
        raise AssertionError(service) from error

    config = Config("node0", str(folder), str(folder / "plugins"))
    state = DurableState(config, crashed, closing)
    state.recover()
    return state


def write(state: DurableState, rows: TableRows) -> None:
    entry = WriteEntry(Client(), rows.database_id, (), None, (rows,))
    state.writer.commit(entry).result(10)


def kept(state: DurableState) -> dict[str, int]:
    tables = state.catalog.catalog.database(INTERNAL_DATABASE).tables
    return {name: state.buffer.rows_of(tables[name].id) for name in (RUNS, DEAD_LETTERS)}


def test_runs_and_letters_past_seven_days_leave_memory_and_do_not_come_back(
    tmp_path: Path,
) -> None:
    now_ns = time.time_ns()
    with ExitStack() as closing:
        state = open_state(tmp_path, closing)
        for age_ns in (8 * DAY_NS, 6 * DAY_NS):
            write(state, state.internal.runs([replace(RUN, time=now_ns - age_ns)]))
            write(state, state.internal.dead_letters([replace(LETTER, time=now_ns - age_ns)]))
        assert kept(state) == {RUNS: 1, DEAD_LETTERS: 1}

    with ExitStack() as closing:
        assert kept(open_state(tmp_path, closing)) == {RUNS: 1, DEAD_LETTERS: 1}


def test_letters_are_kept_however_many_there_are_and_runs_are_not(tmp_path: Path) -> None:
    now_ns = time.time_ns()
    with ExitStack() as closing:
        state = open_state(tmp_path, closing)
        runs = [replace(RUN, time=now_ns + number) for number in range(1000)]
        letters = [replace(LETTER, time=now_ns + number) for number in range(1000)]
        run_rows, letter_rows = state.internal.runs(runs), state.internal.dead_letters(letters)
        for _ in range(5):
            write(state, _times(run_rows, 60))
            write(state, _times(letter_rows, 60))

        found = kept(state)

    assert found[DEAD_LETTERS] == 300_000
    assert 200_000 <= found[RUNS] < 300_000


def _times(rows: TableRows, count: int) -> TableRows:
    batch = rows.rows.take([number for _ in range(count) for number in range(rows.rows.num_rows)])
    return replace(rows, rows=batch)
