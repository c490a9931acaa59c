"""Slices of the log as events read them: what was found in each table, put together.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.storage.entry_index import EntryRows
from engine.storage.row_space import Chunk, rows_between
from engine.storage.union import joined, without_empty_columns

__all__ = ["FoundRows", "Slice", "joined_rows", "shortest_causes"]


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of some tables in the log entries from the position asked for up to `end`.

    Args:
        end: sequence after the last entry covered.
        tables: catalog id and rows in order of arrival, in order of first write; only columns
            that have a value, tags first, then fields, `time` last. Empty when nothing matches.
        causes: the shortest cause chain among the entries with such rows.
    """

    end: int
    tables: tuple[tuple[int, pa.RecordBatch], ...]
    causes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FoundRows:
    """What a reader takes out of one table: entries, and the chunks that hold their rows."""

    table_id: int
    entries: EntryRows
    chunks: tuple[Chunk, ...]


def joined_rows(found: FoundRows) -> pa.RecordBatch:
    """Return the rows of the entries as one batch, without the columns that none of them has."""
    bounds = found.entries.bounds
    slices = rows_between(found.chunks, int(bounds[0]), int(bounds[-1]))
    return without_empty_columns(joined(slices))


def shortest_causes(
    found: Sequence[FoundRows], known: Mapping[int, tuple[int, ...]]
) -> tuple[int, ...]:
    """Return the shortest chain of causes among the entries; those not known have none."""
    shortest: tuple[int, ...] | None = None
    for part in found:
        for sequence in part.entries.sequences.tolist():
            causes = known.get(sequence, ())
            if not causes:
                return ()
            if shortest is None or len(causes) < len(shortest):
                shortest = causes
    return shortest or ()
