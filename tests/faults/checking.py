"""What must hold after a restart, whatever has died before."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.faults.load import Memory
from tests.faults.plugins import BAD, COPIES, DATABASE, TICKS, TICKS_PER_S
from tests.serving import Server, eventually

SETTLE_S = 40.0
ALL_LETTERS = (
    "SELECT DISTINCT id, rows FROM system.processing_engine_dead_letters "
    "WHERE trigger_name = 'poisoned'"
)
LETTERS = "SELECT trigger_name, error FROM system.processing_engine_dead_letters"


def stored(server: Server, table: str) -> Counter[tuple[str, int]]:
    """Return how often each row is in a table."""
    if not server.count(DATABASE, table):
        return Counter()
    rows = server.sql(DATABASE, f"SELECT w, n FROM {table}")  # noqa: S608  ours
    return Counter((row["w"], row["n"]) for row in rows)


def losses(server: Server, memory: Memory, settle_s: float = SETTLE_S) -> list[str]:
    """Write once more, wait until the triggers have followed, and tell what is wrong."""
    found = list(memory.wrong)
    found += missing(server, memory)
    marker = ("marker", next(memory.numbers))
    line = f"t,w=marker n={marker[1]}i {marker[1]}"
    answer = server.write(DATABASE, line, precision="ns")
    if answer.status != 204:
        return [*found, f"a new write was refused: {answer.status} {answer.text}"]
    memory.note([marker])
    source = stored(server, "t")
    for one in COPIES:
        found += derived_wrongly(server, one.name, source, settle_s)
    for one in TICKS:
        found += ticked_wrongly(server, one.name)
    found += [f"dead letter: {letter}" for letter in server.sql(DATABASE, LETTERS)]
    return found + kept_wrongly(server)


def kept_wrongly(server: Server) -> list[str]:
    """Wait until each row that no plugin can do is kept as a dead letter, once."""
    kept = f"SELECT coalesce(sum(rows), 0) AS n FROM ({ALL_LETTERS})"  # noqa: S608  ours

    def wrong() -> list[str]:
        number, rows = server.sql(BAD, kept)[0]["n"], server.count(BAD, "poison")
        return [] if number == rows else [f"{number} of {rows} poisonous rows are dead letters"]

    try:
        eventually(lambda: not wrong(), within_s=SETTLE_S, every_s=0.2)
    except AssertionError:
        return wrong()
    return []


def missing(server: Server, memory: Memory) -> list[str]:
    """Return which acknowledged rows are not there."""
    found = []
    if lost := memory.rows - stored(server, "t").keys():
        found.append(f"{len(lost)} acknowledged rows lost: {sorted(lost)[:5]}")
    wide: set[int] = set()
    for number in range(7):
        if server.count(DATABASE, f"wide{number}"):
            rows = server.sql(DATABASE, f"SELECT n FROM wide{number}")  # noqa: S608  ours
            wide |= {row["n"] for row in rows}
    if lost_wide := memory.wide - wide:
        found.append(f"{len(lost_wide)} acknowledged wide rows lost: {sorted(lost_wide)[:5]}")
    return found


def derived_wrongly(
    server: Server, table: str, source: Counter[tuple[str, int]], settle_s: float
) -> list[str]:
    """Wait until each row of the source is derived; return what is not there just once."""

    def is_complete() -> bool:
        return len(stored(server, table)) >= len(source)

    try:
        eventually(is_complete, within_s=settle_s, every_s=0.1)
    except AssertionError:
        absent = source.keys() - stored(server, table).keys()
        return [f"{table}: {len(absent)} rows never derived: {sorted(absent)[:5]}"]
    return wrong_counts(table, stored(server, table), set(source))


def wrong_counts(table: str, counts: Counter[Any], wanted: set[Any]) -> list[str]:
    """Return what is not there just once."""
    twice = sorted(key for key, count in counts.items() if count > 1)
    absent = sorted(wanted - counts.keys())
    found = []
    if twice:
        found.append(f"{table}: {len(twice)} derived more than once: {twice[:5]}")
    if absent:
        found.append(f"{table}: {len(absent)} missing: {absent[:5]}")
    return found


def ticked_wrongly(server: Server, table: str) -> list[str]:
    """Wait for a new tick; return which were run twice or left out."""
    before = server.count(DATABASE, table)
    try:
        eventually(lambda: server.count(DATABASE, table) > before + 1, within_s=SETTLE_S)
    except AssertionError:
        return [f"{table}: no new tick"]

    def wrong() -> list[str]:
        rows = server.sql(DATABASE, f"SELECT tick_s FROM {table}")  # noqa: S608  ours
        ticks = Counter(row["tick_s"] for row in rows)
        first, last = min(ticks), max(ticks)
        between = {second: ticks[second] for second in range(first + 1, last)}
        ends = {second: ticks[second] for second in (first, last) if ticks[second] > TICKS_PER_S}
        odd = {second: n for second, n in between.items() if n != TICKS_PER_S} | ends
        return [f"{table}: ticks in a second, not {TICKS_PER_S}: {odd}"] if odd else []

    try:
        # Runs at the same time end in any order.
        eventually(lambda: not wrong(), within_s=SETTLE_S, every_s=0.2)
    except AssertionError:
        return wrong()
    return []
