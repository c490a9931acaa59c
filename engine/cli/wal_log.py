"""What the `wal` commands do; apart from their options, so that other commands start quickly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine.cli.failures import CommandFailed
from engine.errors import EngineError
from engine.wal.disk import Disk
from engine.wal.drop import drop_from, loss_of
from engine.wal.lock import lock_directory
from engine.wal.recovery import recover
from engine.wal.segment import WriteFailed
from engine.wal.survey import Problem, SegmentSurvey, Survey, survey_log

__all__ = ["inspect_log", "repair_log", "verify_log"]

_TITLES = ("first", "end", "bytes", "records", "rows", "from", "to")


def inspect_log(directory: Path) -> None:
    """Print the segments, the triggers and the problems of a log."""
    survey = _surveyed(directory)
    _print_table([_TITLES, *map(_cells, survey.segments)])
    _print_triggers(survey)
    for problem in survey.problems:
        print(_told(problem))


def verify_log(directory: Path) -> None:
    """Print the problems of a log.

    Raises:
        CommandFailed: a server would not open it.
    """
    survey = _surveyed(directory)
    for problem in survey.problems:
        print(_told(problem))
    if survey.damage:
        places = "one place" if len(survey.damage) == 1 else f"{len(survey.damage)} places"
        raise CommandFailed(
            f"{directory} is damaged in {places}. Restore it from a backup, or see what "
            "`bulkhead wal repair` would give up."
        )
    records = sum(found.records for found in survey.segments)
    rows = sum(found.rows for found in survey.segments)
    print(f"{len(survey.segments)} segments, {records} records and {rows} rows are good.")


def repair_log(directory: Path, *, may_drop: bool) -> None:
    """Make a log one that a server opens.

    Raises:
        CommandFailed: a server has it open, or entries would be lost and they may not.
    """
    disk = Disk()
    try:
        descriptor = lock_directory(directory, disk)
        try:
            _repair(directory, disk, may_drop=may_drop)
        finally:
            os.close(descriptor)
    except (EngineError, WriteFailed, OSError) as error:
        raise CommandFailed(str(error)) from error


def _repair(directory: Path, disk: Disk, *, may_drop: bool) -> None:
    survey = survey_log(directory)
    if survey.damage:
        problem = survey.damage[0]
        print(_told(problem))
        loss = loss_of(directory, problem)
        text = f"up to {loss.end - loss.first} entries, from {loss.first} to {loss.end - 1}"
        if not may_drop:
            raise CommandFailed(
                f"to repair the log means to lose {text}, and whatever of them is not in Parquet "
                "files. Restore a backup if there is one; else use --drop-from-damage."
            )
        drop_from(directory, problem, survey.state, disk)
        print(f"Lost: {text}. What was cut off is kept in {directory} as *.broken.")
    recover(directory, disk)
    print("The log is good.")


def _surveyed(directory: Path) -> Survey:
    """Survey a log; a server that appends at the same time may make it look damaged once."""
    try:
        found = survey_log(directory)
        return survey_log(directory) if found.damage else found
    except OSError as error:
        raise CommandFailed(f"cannot read {directory}: {error}") from error


def _told(problem: Problem) -> str:
    text = f"{problem.path} at byte {problem.offset}, entry {problem.sequence}: {problem.reason}"
    if problem.is_repaired_at_start:
        return f"{text}: an unfinished last write, which the next start of the server cuts off"
    return text


def _print_triggers(survey: Survey) -> None:
    state = survey.state
    for trigger_id, position in sorted(state.positions.items()):
        print(f"trigger #{trigger_id}: done below entry {position.low}{_more(position.finished)}")
    for trigger_id, ticks in sorted(state.ticks.items()):
        print(f"trigger #{trigger_id}: done up to {_time(ticks.low_ns)}{_more(ticks.finished)}")
    for trigger_id, ranges in sorted(state.open_events.items()):
        print(f"trigger #{trigger_id}: {len(ranges)} events wrote and have not finished")


def _more(finished: Sequence[object]) -> str:
    return f", and {len(finished)} events after it" if finished else ""


def _time(time_ns: int | None) -> str:
    if time_ns is None:
        return "-"
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.rjust(width) for cell, width in cells))


def _cells(found: SegmentSurvey) -> tuple[str, ...]:
    numbers = (found.file.first_sequence, found.end, found.used_bytes, found.records, found.rows)
    return (*map(str, numbers), _time(found.first_ns), _time(found.last_ns))
