"""The threads that lock and build, a few at a time, each thing once.

Who asks for what is on its way already gets the same answer. Beyond a bound nobody waits: they are
told to come back. Any thread may call; `_lock` guards what is on its way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from engine.environments.jobs import Jobs, Label
from engine.environments.pending import promise
from engine.environments.running import OnLine
from engine.errors import Busy, EngineError, Stopping
from engine.model.lock import Asked

__all__ = ["Builders"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_AT_ONCE = 2
_MOST_WAITING = 64


@dataclass(eq=False, slots=True)
class _Task(Generic[T]):
    work: Callable[[OnLine], T]
    answer: Future[T] = field(default_factory=promise)
    jobs: list[int] = field(default_factory=list)


class Builders:
    """A small pool.

    Args:
        jobs: is told what goes on.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._tasks: dict[Hashable, _Task[object]] = {}
        self._is_stopping = False
        self._made = threading.Condition()
        self._making: set[str] = set()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="builder")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="builder-aside")

    def submit(
        self, key: Hashable, label: Label, asked: Asked, work: Callable[[OnLine], T]
    ) -> Future[T]:
        """Have something done, or join whoever asked for the same.

        Args:
            key: says what it is.
            label: whom it is for.
            asked: what for.
            work: does it, and is given where to tell of its progress.

        Raises:
            Busy: too much waits.
            Stopping: the server is shutting down.
        """
        with self._lock:
            if self._is_stopping:
                raise Stopping
            task = cast("_Task[T] | None", self._tasks.get(key))
            is_new = task is None
            if task is None:
                if len(self._tasks) >= _MOST_WAITING:
                    raise Busy(f"{_MOST_WAITING} environments wait to be built; try again shortly")
                task = _Task(work)
                self._tasks[key] = cast("_Task[object]", task)
            task.jobs.append(self._jobs.begin(label, asked))
            if is_new:
                self._pool.submit(self._perform, key, task)
        return task.answer

    def aside(self, work: Callable[[], object]) -> None:
        """Have something done one day that nobody waits for; not when the server stops."""
        with self._lock:
            if not self._is_stopping:
                self._aside.submit(self._spare, work)

    @contextmanager
    def alone_with(self, lock_id: str) -> Iterator[None]:
        """Keep others from making the same environment meanwhile."""
        with self._made:
            self._made.wait_for(lambda: lock_id not in self._making)
            self._making.add(lock_id)
        try:
            yield
        finally:
            with self._made:
                self._making.discard(lock_id)
                self._made.notify_all()

    def is_making(self, lock_id: str) -> bool:
        """Whether an environment is being made."""
        with self._made:
            return lock_id in self._making

    def stop(self, give_up: Callable[[], None]) -> None:
        """Refuse what comes, have what runs given up, and wait for it.

        Args:
            give_up: has every installer that runs raise Stopping.
        """
        with self._lock:
            self._is_stopping = True
            waiting = list(self._tasks.values())
        give_up()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._aside.shutdown(wait=True, cancel_futures=True)
        for task in waiting:
            if not task.answer.done():
                self._end(task, Stopping())

    def _perform(self, key: Hashable, task: _Task[T]) -> None:
        try:
            if self._is_stopping:
                raise Stopping  # noqa: TRY301  as it would be raised further down
            result = task.work(lambda line: self._tell(task, line))
        except BaseException as error:
            self._forget(key)
            if not isinstance(error, EngineError):
                log.exception("an environment could not be built")
            self._end(task, error)
        else:
            self._forget(key)
            self._end(task, None)
            task.answer.set_result(result)

    def _tell(self, task: _Task[T], line: str) -> None:
        for job in tuple(task.jobs):
            self._jobs.note_line(job, line)

    def _forget(self, key: Hashable) -> None:
        """Let whoever asks from now on begin anew; who has asked is on the task's list."""
        with self._lock:
            del self._tasks[key]

    def _end(self, task: _Task[T], error: BaseException | None) -> None:
        for job in task.jobs:
            self._jobs.end(job, None if isinstance(error, Stopping) else error)
        if error is not None:
            task.answer.set_exception(error)

    def _spare(self, work: Callable[[], object]) -> None:
        try:
            work()
        except EngineError as error:
            log.info("something was left out", extra={"reason": str(error)})
        except Exception:
            log.exception("something was left out")
