"""One moment at which files, catalog and log fit together.

Whoever makes the catalog name files, discards some or drops segments of the log holds the quiet
meanwhile; so does a backup while it notes what it is going to copy. Inside of it, every row is in a
file that the catalog names or in a segment that is there. It is held for the commit, not while
files are written; a backup pins its files and opens its segments inside, and copies them after.

Any thread; a thread must not take it twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Quiet"]


class Quiet:
    """A lock with a purpose; one for the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Tell whether somebody holds it."""
        return f"<Quiet: {'held' if self._lock.locked() else 'free'}>"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait until nobody else holds it, and hold it."""
        with self._lock:
            yield
