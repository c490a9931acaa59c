"""What an installer prints, as lines that may be shown: no escapes, no passwords, not too much.

An object belongs to one thread.
"""

from __future__ import annotations

import re
from collections import deque

from engine.environments.installation import masked

__all__ = ["Lines"]

_TAIL_BYTES = 64 * 1024
_MAX_LINE_BYTES = 16 * 1024
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENDS = re.compile(rb"[\r\n]+")


class Lines:
    """Makes lines of the bytes that come, and keeps the last of them."""

    def __init__(self) -> None:
        self._partial = b""
        self._tail: deque[str] = deque()
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[str]:
        """Take what was printed; return the lines that it ends, empty ones left out."""
        *whole, self._partial = _ENDS.split(self._partial + chunk)
        if len(self._partial) > _MAX_LINE_BYTES:
            whole.append(self._partial)
            self._partial = b""
        return [line for line in map(self._noted, whole) if line]

    def end(self) -> list[str]:
        """Return the last line, which nothing ended."""
        rest, self._partial = self._partial, b""
        return [line for line in [self._noted(rest)] if line]

    @property
    def text(self) -> str:
        """All that is kept."""
        return "\n".join(self._tail)

    def _noted(self, line: bytes) -> str:
        shown = line[:_MAX_LINE_BYTES].decode(errors="replace")
        text = masked(_CONTROLS.sub("", _ESCAPES.sub("", shown).expandtabs(4))).rstrip()
        if text:
            self._tail.append(text)
            self._held_bytes += len(text.encode()) + 1
        while self._held_bytes > _TAIL_BYTES:
            self._held_bytes -= len(self._tail.popleft().encode()) + 1
        return text
