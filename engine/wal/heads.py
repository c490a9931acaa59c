"""Records without their rows: who wrote, and how many rows into which tables. Pure; any thread.

The lag of triggers is counted over millions of entries when the server starts; so what all the
entries of clients have in common is made once for a record and not once for an entry.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from engine.errors import DamagedRecord
from engine.model.entry import Client, Entry, WriteEntry
from engine.wal.entries import CHECKPOINT, WRITE, entry_of, unpack_plain
from engine.wal.record import split_head

__all__ = ["TableCount", "decode_heads"]

TableCount: TypeAlias = tuple[int, int, int]  # database id, table id, number of rows


def decode_heads(payload: bytes) -> list[tuple[Entry, tuple[TableCount, ...]]]:
    """Return the entries of a payload without tables, each with what its tables are.

    Raises:
        DamagedRecord: the head is not what `encode` makes.
    """
    count, data, _ = split_head(payload)
    entries, blocks = unpack_plain(data)
    try:
        names = [(database_id, table_id) for database_id, table_id, _ in blocks]
        heads = _heads(entries, names)
    except (TypeError, ValueError, IndexError) as error:
        raise DamagedRecord(f"an entry's head has another shape: {error}") from error
    if len(heads) != count:
        raise DamagedRecord(f"{len(heads)} entries stand where {count} were announced")
    return heads


def _heads(
    entries: list[Any], names: list[tuple[int, int]]
) -> list[tuple[Entry, tuple[TableCount, ...]]]:
    of_clients: dict[int, WriteEntry] = {}
    heads: list[tuple[Entry, tuple[TableCount, ...]]] = []
    for plain in entries:
        is_clients = plain[0] == WRITE and plain[1] is None and plain[4] is None and not plain[3]
        entry: Entry
        if not is_clients:
            entry, _ = entry_of(plain)
        elif plain[2] in of_clients:
            entry = of_clients[plain[2]]
        else:
            entry = of_clients[plain[2]] = WriteEntry(Client(), plain[2], (), None, ())
        heads.append((entry, _counts(plain, names)))
    return heads


def _counts(plain: list[Any], names: list[tuple[int, int]]) -> tuple[TableCount, ...]:
    if plain[0] == CHECKPOINT:
        return ()
    if len(plain[5]) == 1:
        block, start, stop, _ = plain[5][0]
        return ((*names[block], stop - start),)
    return tuple((*names[block], stop - start) for block, start, stop, _ in plain[5])
