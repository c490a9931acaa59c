"""Times as clients read them, as `2026-03-01T12:00:00.000000000Z`. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["moment", "moments"]


def moment(time_ns: int) -> str:
    """Return a time, UTC nanoseconds, as text."""
    return str(moments(pa.array([time_ns], pa.timestamp("ns")))[0].as_py())


def moments(times: pa.Array) -> pa.Array:
    """Return a column of times as texts."""
    return pc.strftime(times, "%Y-%m-%dT%H:%M:%SZ")
