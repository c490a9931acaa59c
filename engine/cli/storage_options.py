"""Options of `serve` about rows and where they are kept, and the settings they come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from engine.cli import checks

__all__ = [
    "HardDeleteDefaultDuration",
    "HotBufferLimit",
    "PersistAge",
    "PersistBytes",
    "RetentionCheckInterval",
    "WalMaxLagSize",
    "durations",
    "sizes",
]

HotBufferLimit = Annotated[
    str | None,
    typer.Option(
        envvar="BULKHEAD_HOT_BUFFER_LIMIT",
        metavar="SIZE",
        callback=checks.size("--hot-buffer-limit"),
        help="Memory for rows, as 2GiB; beyond it writes are refused.",
    ),
]
PersistBytes = Annotated[
    str | None,
    typer.Option(
        envvar="BULKHEAD_PERSIST_BYTES",
        metavar="SIZE",
        callback=checks.size("--persist-bytes"),
        help="Rows of one table in memory before they go to files; 32MiB if absent.",
    ),
]
PersistAge = Annotated[
    str | None,
    typer.Option(
        envvar="BULKHEAD_PERSIST_AGE",
        metavar="DURATION",
        callback=checks.duration("--persist-age"),
        help="Age of a row in memory before it goes to a file; 10m if absent.",
    ),
]
WalMaxLagSize = Annotated[
    str | None,
    typer.Option(
        envvar="BULKHEAD_WAL_MAX_LAG_SIZE",
        metavar="SIZE",
        callback=checks.size("--wal-max-lag-size"),
        help="Log kept for triggers that lag; beyond it they lose rows. 8GiB if absent.",
    ),
]
RetentionCheckInterval = Annotated[
    str | None,
    typer.Option(
        envvar="INFLUXDB3_RETENTION_CHECK_INTERVAL",
        metavar="DURATION",
        callback=checks.duration("--retention-check-interval"),
        help="Between looks for rows to remove; 30m if absent.",
    ),
]
HardDeleteDefaultDuration = Annotated[
    str | None,
    typer.Option(
        envvar="INFLUXDB3_HARD_DELETE_DEFAULT_DURATION",
        metavar="DURATION",
        callback=checks.duration("--hard-delete-default-duration", may_be_0=True),
        help="From a deletion to the removal of the rows; 72h if absent.",
    ),
]


def sizes(given: Mapping[str, str | None]) -> dict[str, int]:
    """Return the sizes that were given, in bytes; their options have been checked."""
    return {name: checks.byte_count(text, name) for name, text in given.items() if text}


def durations(given: Mapping[str, str | None]) -> dict[str, float]:
    """Return the durations that were given, in seconds; their options have been checked."""
    texts = {name: text for name, text in given.items() if text}
    return {name: checks.duration_s(texts[name], name, may_be_0=True) for name in texts}
