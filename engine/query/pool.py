"""A few threads for queries, which do not keep the process from ending.

A query that computes cannot be stopped from outside. The threads of the standard library's pool are
waited for when the interpreter ends, so one cross join would make a server deaf to SIGTERM.

Threads: `submit` and `stop` may be called from any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

__all__ = ["DaemonPool"]

_Result = TypeVar("_Result")


class DaemonPool(Generic[_Result]):
    """Runs calls in the order in which they come; the caller bounds how many wait."""

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Future[_Result], Callable[[], _Result]] | None]
        self._jobs = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}_{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Have a call made; nothing may be submitted after `stop`."""
        future: Future[_Result] = Future()
        self._jobs.put((future, work))
        return future

    def stop(self) -> None:
        """Cancel what waits and let the threads end after what they do; does not wait."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is not None:
                job[0].cancel()
                job[0].set_running_or_notify_cancel()
        for _ in self._threads:
            self._jobs.put(None)

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Take one job; its names end with the call, so that nothing holds its result."""
        job = self._jobs.get()
        if job is None:
            return False
        future, work = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  the future carries it to the caller
                future.set_exception(error)
        return True
