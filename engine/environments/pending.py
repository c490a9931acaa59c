"""Answers that come later: one follows from another, and what has an order keeps it.

Nobody waits here. What follows runs in the thread that brought the answer, so it is to be short.
A future that is handed out is running from its start, so nobody who turns away cancels it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import TypeVar

from engine.errors import Busy

__all__ = ["Turns", "failed", "following", "promise", "settle", "settled"]

T = TypeVar("T")
U = TypeVar("U")


def promise() -> Future[T]:
    """Return a future that nobody can cancel."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    return future


def settled(value: T) -> Future[T]:
    """Return a future that has its value."""
    future: Future[T] = promise()
    future.set_result(value)
    return future


def failed(error: BaseException) -> Future[T]:
    """Return a future that has an error."""
    future: Future[T] = promise()
    future.set_exception(error)
    return future


def settle(future: Future[T], find: Callable[[], T]) -> None:
    """Give a future what a call returns or raises."""
    try:
        value = find()
    except BaseException as error:  # noqa: BLE001  it is raised where the answer is awaited
        future.set_exception(error)
    else:
        future.set_result(value)


def following(first: Future[T], then: Callable[[T], U]) -> Future[U]:
    """Return what a call makes of a future's value; an error is passed on."""
    second: Future[U] = promise()
    first.add_done_callback(lambda done: settle(second, lambda: then(done.result())))
    return second


class Turns:
    """Begins one thing after the other for each key; any thread, `_lock` guards the queues.

    Args:
        most: things that may wait or run for one key.
        start: runs a call soon, in some other thread; raises when it cannot.
    """

    def __init__(self, most: int, start: Callable[[Callable[[], None]], object]) -> None:
        self._most = most
        self._start = start
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[Callable[[], None]]] = {}

    def take(self, key: Hashable, begin: Callable[[], Future[T]]) -> Future[T]:
        """Begin something once all that was asked for before, for its key, has come to an end.

        Args:
            key: of what must not happen at the same time.
            begin: starts it; whatever it raises is in the answer.

        Raises:
            Busy: too many wait for their turn.
        """
        answer: Future[T] = promise()

        def run() -> None:
            try:
                begin().add_done_callback(finish)
            except BaseException as error:  # noqa: BLE001  it is raised where it is awaited
                finish(failed(error))

        def finish(done: Future[T]) -> None:
            self._next(key)
            settle(answer, done.result)

        with self._lock:
            queue = self._queues.setdefault(key, deque())
            if len(queue) >= self._most:
                raise Busy(f"{self._most} changes of this environment wait already; try again")
            queue.append(run)
            is_first = len(queue) == 1
        if is_first:
            self._begin(run)
        return answer

    def _next(self, key: Hashable) -> None:
        with self._lock:
            queue = self._queues[key]
            queue.popleft()
            if not queue:
                del self._queues[key]
                return
            following = queue[0]
        self._begin(following)

    def _begin(self, run: Callable[[], None]) -> None:
        try:
            self._start(run)
        except RuntimeError:  # the threads are gone: its own begin will say why
            run()
