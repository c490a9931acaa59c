"""An eventfd that interrupts the wait of one supervisor thread."""

from __future__ import annotations

import contextlib
import os

__all__ = ["Nudge"]


class Nudge:
    """Any thread signals, one thread waits on the descriptor and clears it."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor, readable while a signal is pending."""
        return self._descriptor

    def signal(self) -> None:
        """Make the descriptor readable; harmless after `close`."""
        with contextlib.suppress(OSError, ValueError):
            os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """Forget pending signals; look for work after this, not before."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Release the descriptor."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
