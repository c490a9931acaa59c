"""An eventfd that interrupts the wait of one supervisor thread."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Sequence

__all__ = ["Nudge", "Nudges"]


class Nudge:
    """Any thread signals, one thread waits on the descriptor and clears it.

    `_lock` keeps a late signal from a descriptor that is closed and already somebody else's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor, readable while a signal is pending."""
        return self._descriptor

    def signal(self) -> None:
        """Make the descriptor readable; harmless after `close`."""
        with self._lock:
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """Forget pending signals; look for work after this, not before."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def wait(self, within_s: float | None = None) -> None:
        """Wait for a signal, which stays pending, or for some seconds; None for ever."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.poll(None if within_s is None else within_s * 1000)

    def close(self) -> None:
        """Release the descriptor; a second time nothing."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Nudges:
    """The nudges of several lanes, signalled as one; any thread."""

    def __init__(self, nudges: Sequence[Nudge]) -> None:
        self._nudges = tuple(nudges)

    def signal(self) -> None:
        """Signal every lane: which of them is free is known to none."""
        for nudge in self._nudges:
            nudge.signal()
