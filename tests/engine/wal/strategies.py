"""Hypothesis strategies for log entries."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import strategies as st

from engine.model.entry import (
    CheckpointEntry,
    Client,
    Entry,
    IdempotenceKey,
    Position,
    Run,
    RunEntry,
    TableRows,
    Ticks,
    WriteEntry,
)
from engine.model.schema import ColumnType

_LOG_TAGS = ("host", "région", "rack")
_LOG_FIELDS: dict[str, tuple[ColumnType, st.SearchStrategy[object]]] = {
    "load": (ColumnType.FLOAT, st.floats(allow_nan=False)),
    "count": (ColumnType.INTEGER, st.integers(-(2**63), 2**63 - 1)),
    "bytes": (ColumnType.UINTEGER, st.integers(0, 2**64 - 1)),
    "state": (ColumnType.STRING, st.text(max_size=8)),
    "up": (ColumnType.BOOLEAN, st.booleans()),
}
_ids = st.integers(0, 2**63 - 1)
_few_ids = st.integers(0, 3)
_times_ns = st.integers(-(2**63), 2**63 - 1)


@st.composite
def log_rows(draw: st.DrawFn) -> pa.RecordBatch:
    """Rows as `TableRows` holds them: a choice of tags and fields, then the time."""
    count = draw(st.integers(0, 4))
    tags = draw(st.lists(st.sampled_from(_LOG_TAGS), unique=True))
    fields = draw(st.lists(st.sampled_from(sorted(_LOG_FIELDS)), unique=True))
    choices = [(tag, ColumnType.TAG, st.text(max_size=4)) for tag in tags]
    choices += [(name, *_LOG_FIELDS[name]) for name in fields]
    arrays = [
        pa.array(draw(_column_values(values, count)), kind.arrow) for _, kind, values in choices
    ]
    times = draw(st.lists(_times_ns, min_size=count, max_size=count))
    arrays.append(pa.array(times, ColumnType.TIME.arrow))
    return pa.RecordBatch.from_arrays(arrays, names=[*(name for name, *_ in choices), "time"])


def _column_values(
    values: st.SearchStrategy[object], count: int
) -> st.SearchStrategy[list[object]]:
    return st.lists(st.none() | values, min_size=count, max_size=count)


_tables = st.builds(TableRows, st.just(1), _few_ids, log_rows())
_log_tables = st.lists(_tables, max_size=3).map(tuple)
_runs = st.builds(Run, _ids, st.text(max_size=20))
_causes = st.lists(_ids, max_size=4).map(tuple)
_spans = st.tuples(_ids, _ids)
_positions = st.builds(Position, _ids, st.lists(_spans, max_size=3).map(tuple))
_keys = st.builds(IdempotenceKey, _few_ids, st.integers(0, 50), st.integers(0, 50), _few_ids)

_ticks = st.builds(Ticks, _times_ns, st.lists(_times_ns, max_size=3).map(tuple))
_progress = st.none() | _positions | _ticks


def _changes(tables: st.SearchStrategy[tuple[TableRows, ...]]) -> st.SearchStrategy[Entry]:
    origins = st.builds(Client) | _runs
    writes = st.builds(WriteEntry, origins, _ids, _causes, st.none() | _keys, tables)
    return writes | st.builds(RunEntry, _runs, _ids, _causes, _progress, tables)


changes = _changes(_log_tables)
changes_without_rows = _changes(st.just(()))
checkpoint_entries = st.builds(
    CheckpointEntry,
    st.dictionaries(_ids, _positions, max_size=3),
    st.dictionaries(_ids, _ticks, max_size=3),
    st.dictionaries(_ids, st.lists(_spans, max_size=2).map(tuple), max_size=3),
    st.lists(_keys, max_size=3).map(tuple),
)
log_entries = changes | checkpoint_entries
