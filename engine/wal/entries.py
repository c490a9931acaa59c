"""The head of a record: entries as msgpack, without their rows. Pure; any thread.

The head is `[entries, blocks]`; only arrays, integers, strings and nil occur, never maps.

    block       [database id, table id, stream length]     the streams follow in this order
    write       [0, origin, database id, causes, key, ranges]
    run         [1, origin, database id, causes, progress, ranges]
    checkpoint  [2, positions, ticks, open events, keys]
    origin      nil for a client, [trigger id, run id] for a run (never nil in a run entry)
    causes      [trigger id ...]
    key         nil or [trigger id, event from, event to, ordinal]
    progress    nil, [0, low, [[from, to] ...]] or [1, low time, [tick ...]]
    ranges      [[block, row from, row to, columns] ...]   columns: nil for all of the block's in
                                                           their order, else their indices
    positions   [[trigger id, low, [[from, to] ...]] ...]
    ticks       [[trigger id, low time, [tick ...]] ...]
    open events [[trigger id, [[from, to] ...]] ...]

Ids, sequences, ordinals and row numbers are 0 .. 2^63-1; times and the ends of events are signed
64 bit integers. The ranges of one block cover its rows from first to last without gap or overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import msgpack

from engine.errors import DamagedRecord
from engine.model.entry import (
    CheckpointEntry,
    Client,
    Entry,
    IdempotenceKey,
    Position,
    Progress,
    Run,
    RunEntry,
    Ticks,
    WriteEntry,
)

__all__ = [
    "CHECKPOINT",
    "WRITE",
    "BlockName",
    "RecordHead",
    "RowRange",
    "entry_of",
    "pack_head",
    "unpack_head",
    "unpack_plain",
]

MAX_RUN_ID_CHARACTERS = 256
WRITE, _RUN, CHECKPOINT = range(3)
_POSITION, _TICKS = range(2)
_INT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RowRange:
    """The rows of one table of one entry: [start, stop) of a block, and which of its columns.

    Args:
        block: index of the block in the record.
        start: first row.
        stop: after the last row.
        columns: None for all columns in the block's order, else their indices.
    """

    block: int
    start: int
    stop: int
    columns: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class BlockName:
    """Whose rows a block holds, and how many bytes its stream has."""

    database_id: int
    table_id: int
    length: int


@dataclass(frozen=True, slots=True)
class RecordHead:
    """A parsed head: entries still without tables, each with its ranges, and the blocks."""

    entries: tuple[tuple[Entry, tuple[RowRange, ...]], ...]
    blocks: tuple[BlockName, ...]


def pack_head(
    entries: Sequence[Entry],
    ranges: Sequence[Sequence[RowRange]],
    blocks: Sequence[BlockName],
) -> bytes:
    """Return the head's bytes; `ranges` holds those of each entry."""
    plain = [_plain(entry, rows) for entry, rows in zip(entries, ranges, strict=True)]
    names = [(block.database_id, block.table_id, block.length) for block in blocks]
    packed: bytes = msgpack.packb((plain, names))
    return packed


def unpack_head(data: bytes) -> RecordHead:
    """Read a head.

    Raises:
        DamagedRecord: anything that `pack_head` does not make.
    """
    entries, blocks = unpack_plain(data)
    return RecordHead(
        tuple(entry_of(entry) for entry in entries), tuple(_block(block) for block in blocks)
    )


def unpack_plain(data: bytes) -> tuple[list[Any], list[Any]]:
    """Return the entries and the blocks of a head as msgpack has them.

    Raises:
        DamagedRecord: there are no such two arrays.
    """
    try:
        plain = msgpack.unpackb(
            data,
            max_map_len=0,
            max_bin_len=0,
            max_ext_len=0,
            max_str_len=4 * MAX_RUN_ID_CHARACTERS,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise DamagedRecord(f"the head is not msgpack: {error}") from error
    entries, blocks = _array(plain, 2)
    return _array(entries), _array(blocks)


def _plain(entry: Entry, ranges: Sequence[RowRange]) -> list[object]:
    rows = [(r.block, r.start, r.stop, r.columns) for r in ranges]
    match entry:
        case WriteEntry(origin, database_id, causes, key):
            run = None if isinstance(origin, Client) else (origin.trigger_id, origin.run_id)
            return [WRITE, run, database_id, causes, _plain_key(key), rows]
        case RunEntry(origin, database_id, causes, progress):
            run = (origin.trigger_id, origin.run_id)
            return [_RUN, run, database_id, causes, _plain_progress(progress), rows]
        case CheckpointEntry(positions, ticks, open_events, keys):
            return [
                CHECKPOINT,
                [(trigger, p.low, p.finished) for trigger, p in positions.items()],
                [(trigger, t.low_ns, t.finished) for trigger, t in ticks.items()],
                list(open_events.items()),
                [_plain_key(key) for key in keys],
            ]
        case _:
            assert_never(entry)


def _plain_key(key: IdempotenceKey | None) -> tuple[int, ...] | None:
    if key is None:
        return None
    return (key.trigger_id, key.event_from, key.event_to, key.ordinal)


def _plain_progress(progress: Progress | None) -> tuple[object, ...] | None:
    match progress:
        case None:
            return None
        case Position(low, finished):
            return (_POSITION, low, finished)
        case Ticks(low_ns, finished_ns):
            return (_TICKS, low_ns, finished_ns)
        case _:
            assert_never(progress)


def _block(plain: object) -> BlockName:
    database_id, table_id, length = _array(plain, 3)
    return BlockName(_count(database_id), _count(table_id), _count(length))


def entry_of(plain: object) -> tuple[Entry, tuple[RowRange, ...]]:
    """Return an entry without tables, and its ranges.

    Raises:
        DamagedRecord: it is none.
    """
    kind, *rest = _array(plain)
    match kind, rest:
        case (0, [origin, database_id, causes, key, ranges]):
            run = Client() if origin is None else _run(origin)
            written = WriteEntry(run, _count(database_id), _causes(causes), _optional_key(key), ())
            return written, _ranges(ranges)
        case (1, [origin, database_id, causes, progress, ranges]):
            progress = _progress(progress)
            ran = RunEntry(_run(origin), _count(database_id), _causes(causes), progress, ())
            return ran, _ranges(ranges)
        case (2, [positions, ticks, open_events, keys]):
            return _checkpoint(positions, ticks, open_events, keys), ()
        case _:
            raise DamagedRecord(f"no entry of kind {kind!r} has {len(rest)} members")


def _checkpoint(
    positions: object, ticks: object, open_events: object, keys: object
) -> CheckpointEntry:
    places = [_array(item, 3) for item in _array(positions)]
    times = [_array(item, 3) for item in _array(ticks)]
    events = [_array(item, 2) for item in _array(open_events)]
    return CheckpointEntry(
        {_count(trigger): _position(low, finished) for trigger, low, finished in places},
        {_count(trigger): _ticks(low_ns, finished) for trigger, low_ns, finished in times},
        {_count(trigger): _events(ranges) for trigger, ranges in events},
        tuple(_key(key) for key in _array(keys)),
    )


def _run(plain: object) -> Run:
    trigger_id, run_id = _array(plain, 2)
    if not isinstance(run_id, str) or len(run_id) > MAX_RUN_ID_CHARACTERS:
        raise DamagedRecord("a run id is not a short string")
    return Run(_count(trigger_id), run_id)


def _causes(plain: object) -> tuple[int, ...]:
    return tuple(_count(trigger) for trigger in _array(plain))


def _optional_key(plain: object) -> IdempotenceKey | None:
    return None if plain is None else _key(plain)


def _key(plain: object) -> IdempotenceKey:
    trigger_id, start, end, ordinal = _array(plain, 4)
    return IdempotenceKey(_count(trigger_id), _integer(start), _integer(end), _count(ordinal))


def _progress(plain: object) -> Progress | None:
    match plain:
        case None:
            return None
        case [0, low, finished]:
            return _position(low, finished)
        case [1, low_ns, finished]:
            return _ticks(low_ns, finished)
        case _:
            raise DamagedRecord("a run's progress is neither a position nor a tick")


def _position(low: object, finished: object) -> Position:
    pairs = [_array(pair, 2) for pair in _array(finished)]
    return Position(_count(low), tuple((_count(start), _count(end)) for start, end in pairs))


def _ticks(low_ns: object, finished: object) -> Ticks:
    return Ticks(_integer(low_ns), tuple(_integer(tick_ns) for tick_ns in _array(finished)))


def _events(plain: object) -> tuple[tuple[int, int], ...]:
    pairs = [_array(pair, 2) for pair in _array(plain)]
    return tuple((_integer(start), _integer(end)) for start, end in pairs)


def _ranges(plain: object) -> tuple[RowRange, ...]:
    return tuple(_range(item) for item in _array(plain))


def _range(plain: object) -> RowRange:
    block, start, stop, columns = _array(plain, 4)
    chosen = None if columns is None else tuple(_count(column) for column in _array(columns))
    return RowRange(_count(block), _count(start), _count(stop), chosen)


def _array(plain: object, length: int | None = None) -> list[Any]:
    if not isinstance(plain, list) or length not in (None, len(plain)):
        raise DamagedRecord(f"not an array of {'any' if length is None else length} members")
    return plain


def _count(plain: object) -> int:
    value = _integer(plain)
    if value < 0:
        raise DamagedRecord(f"{value} is negative")
    return value


def _integer(plain: object) -> int:
    if type(plain) is not int or plain > _INT_MAX:
        raise DamagedRecord(f"not a signed 64 bit integer: {plain!r:.40}")
    return plain
