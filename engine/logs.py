"""Logging: one readable line per record, and the ring of lines that plugins have logged.

    2025-01-01T00:00:00.000Z INFO engine.workers.supervisor worker died trigger=t status=3

Facts given by `extra=` follow the message as `key=value`. Control characters are made visible,
because part of what is logged comes from plugins and clients and must not be able to forge lines
or act on a terminal. A traceback follows its record on indented lines.

`set_up_logging` is called once by whoever starts the program. A `LogRing` may be used from any
thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

__all__ = ["LineFormatter", "LogLines", "LogRing", "printable", "set_up_logging", "visible"]

_STANDARD_FACTS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",  # uvicorn's own, the message again with colours
}
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F)]
_VISIBLE = {n: ascii(chr(n))[1:-1] for n in (*_CONTROLS, *range(0x2066, 0x206A))}
_PRINTABLE = {n: text for n, text in _VISIBLE.items() if chr(n) not in "\n\t"}
_CAPACITY = 10_000  # as InfluxDB 3 Core
_MAX_TEXT_CHARS = 64 * 1024
_MAX_RING_CHARS = 64 * 1024 * 1024


def visible(text: str) -> str:
    r"""Return a text in which a line feed is `\n`, and other control characters likewise."""
    return text.translate(_VISIBLE)


def printable(text: str) -> str:
    r"""Return a text of several lines in which nothing acts on a terminal: an escape is `\x1b`."""
    return text.translate(_PRINTABLE)


class LineFormatter(logging.Formatter):
    """Formats a record as one line, and its traceback as indented ones."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{time.removesuffix('+00:00')}Z {record.levelname} {record.name}"
        line = " ".join([head, visible(record.getMessage()), *_facts(record)])
        return "\n".join([line, *self._traceback(record)])

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        if not record.exc_info:
            return []
        lines = self.formatException(record.exc_info).splitlines()
        return [f"    {visible(line)}" for line in lines]


def set_up_logging(level: int | str, stream: TextIO) -> None:
    """Send all records of a level and above to a stream, and to nothing else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


class LogLines(NamedTuple):
    """Lines as columns, oldest first; the lists belong to the caller."""

    times_ns: list[int]
    trigger_names: list[str]
    levels: list[str]
    texts: list[str]
    run_ids: list[str]


class LogRing:
    """The newest lines that plugins have logged; `_lock` guards `_lines` and `_chars`.

    Beyond the number of lines, or beyond 64 Mi characters together, the oldest are forgotten.
    A line is cut at 64 Ki characters.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._lines: deque[tuple[int, str, str, str, str]] = deque()
        self._chars = 0

    def __repr__(self) -> str:
        """Describe the ring in a sentence."""
        return f"<LogRing: {len(self._lines)} of {self._capacity} lines>"

    def add(self, time_ns: int, trigger_name: str, level: str, text: str, run_id: str = "") -> None:
        """Record a line; `run_id` is empty for one that belongs to no run."""
        text = _cut(text)
        with self._lock:
            self._lines.append((time_ns, trigger_name, level, text, run_id))
            self._chars += len(text)
            while len(self._lines) > self._capacity or self._chars > _MAX_RING_CHARS:
                self._chars -= len(self._lines.popleft()[3])

    def rows(self) -> LogLines:
        """Return a copy of all lines, as columns."""
        with self._lock:
            lines = list(self._lines)
        columns = zip(*lines, strict=True) if lines else ((),) * len(LogLines._fields)
        return LogLines(*map(list, columns))


def _facts(record: logging.LogRecord) -> list[str]:
    facts = vars(record).items()
    return [f"{key}={_quoted(value)}" for key, value in facts if key not in _STANDARD_FACTS]


def _quoted(value: object) -> str:
    text = visible(str(value))
    if text and not any(c in text for c in ' ="'):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _cut(text: str) -> str:
    surplus = len(text) - _MAX_TEXT_CHARS
    return text if surplus <= 0 else f"{text[:_MAX_TEXT_CHARS]}... ({surplus} more characters)"
