"""The standard streams of the process: whatever the plugin prints goes to standard error.

The engine reads standard error through a pipe. File descriptor 1 is joined to it, so that output
of C code and of child processes arrives as well. Called once, by the main thread, at the start.
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys

__all__ = ["flush", "join_streams"]


def join_streams() -> None:
    """Send both output streams to standard error, line by line, and note crashes there."""
    os.dup2(2, 1)
    sys.stdout = _open_lines(1)
    sys.stderr = _open_lines(2)
    faulthandler.enable(file=sys.stderr)


def _open_lines(descriptor: int) -> io.TextIOWrapper:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def flush() -> None:
    """Send what is still buffered; a plugin may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
