"""One worker process, and the lanes that speak with it.

The lanes of a process belong to threads of their own; the last one that leaves releases what they
share. Whoever stops the process does it for all: the others find that it was stopped and not that
it died.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.cache import Mirror
from engine.plugins.source import Source
from engine.sandbox.tree import remove
from engine.workers.conversation import Conversation, LogSink
from engine.workers.lane import Lane
from engine.workers.meter import Meter
from engine.workers.nudge import Nudge
from engine.workers.process import WorkerProcess
from worker.wire.messages import Load

__all__ = ["Generation", "LaneEnd", "Worker"]


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """What the engine's end of a lane needs of the thread that will use it."""

    nudge: Nudge
    log: LogSink
    stop: threading.Event

    def is_stopping(self) -> bool:
        """Whether the owner wants the thread back."""
        return self.stop.is_set()


class Generation:
    """A process from its start until the last lane has left it.

    `_lock` guards the count and what is loaded.

    It is outdated when the packages or the plugin's folder have changed since it was started.
    """

    def __init__(
        self,
        process: WorkerProcess,
        folder: Path,
        lanes: int,
        have_packages_changed: Callable[[], bool],
        on_reaped: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin a generation.

        Args:
            process: of all its lanes.
            folder: of their endpoints; removed with the last lane.
            lanes: how many there are.
            have_packages_changed: since the process was started.
            on_reaped: called once the process has ended and before it is released.
        """
        self.process = process
        self.meter = Meter(process.pid, process.group)
        self._on_reaped = on_reaped
        self.started_s = time.monotonic()
        self.was_stopped = False
        self.loaded: Source | None = None
        self._have_packages_changed = have_packages_changed
        self._has_code_changed = False
        self._folder = folder
        self._lock = threading.Lock()
        self._lanes = lanes

    def is_outdated(self) -> bool:
        """Whether only a fresh process can import what there is now."""
        return self._has_code_changed or self._have_packages_changed()

    def note_code_changed(self) -> None:
        """Have all lanes change over to a fresh process."""
        self._has_code_changed = True

    def adopt(self, source: Source) -> bool:
        """Ask to run a version of the plugin; return whether the process may.

        A folder is imported once a process, so all lanes run the version that the first one asked
        for; who wants another needs a fresh process.
        """
        with self._lock:
            is_same = self.loaded is None or self.loaded.version == source.version
            if source.folder is not None and not is_same:
                return False
            self.loaded = source
            return True

    def fitting(self, source: Source, *, may_leave: bool) -> Source | None:
        """Return what a lane runs here: the newest code, or what the process has already.

        Code and packages may have changed together, and then the newest code needs what only a
        fresh process has.

        Args:
            source: the newest.
            may_leave: whether the lane need not wait for a fresh process, while others run in this
                one what it has already.

        Returns:
            None when it has to be run in a fresh process.
        """
        if self._have_packages_changed():
            if may_leave or self.loaded is None:
                return None
            source = self.loaded
        return source if self.adopt(source) else None

    @property
    def has_one_lane(self) -> bool:
        """Whether no other lane is left."""
        with self._lock:
            return self._lanes == 1

    def stop(self) -> None:
        """Kill the process group, if the process has not ended by itself."""
        with self._lock:
            # Not `ending`: it would reap the leader, and the rest of the group would live on.
            self.was_stopped = self.was_stopped or not self.process.has_ended(0)
        self.process.end()

    def leave(self) -> None:
        """Note that one lane is closed; with the last one the process is ended and released."""
        with self._lock:
            self._lanes -= 1
            is_last = self._lanes == 0
        if is_last:
            self.stop()
            self._on_reaped()
            self.process.close()
            self.meter.close()
            with contextlib.suppress(OSError):
                remove(str(self._folder))  # a test's private folder lies in it


class Worker:
    """One lane of a started process; used by the thread that drives it."""

    def __init__(
        self,
        generation: Generation,
        lane: Lane,
        conversation: Conversation,
        mirror: Mirror,
        token: bytes,
    ) -> None:
        self.generation = generation
        self.conversation = conversation
        self.mirror = mirror
        self._lane = lane
        self._token = token
        self._is_retired = False

    @property
    def process(self) -> WorkerProcess:
        """The process behind the lane."""
        return self.generation.process

    def greet(self, now_ns: int, *, has_cache: bool = True) -> None:
        """Bring the lane to rest; one lane of a process gets the cache back."""
        self.conversation.greet(self._token, now_ns if has_cache else None)
        if has_cache:  # the first lane: nothing foreign has run in the process yet
            self.generation.meter.follow()

    def load(self, source: Source) -> None:
        """Tell the worker which plugin to run from now on."""
        self.conversation.load(Load(source.name, source.text, source.folder))

    def retire(self, within_s: float, *, is_first: bool) -> None:
        """Have `end` do no more than leave: other lanes may finish what they run."""
        self._is_retired = True
        if is_first and self.generation.has_one_lane:  # the first lane's end is the process's
            self.conversation.dismiss(within_s)  # what it says of its cache is still wanted

    def end(self) -> None:
        """Stop the process for all its lanes, and leave."""
        if not self._is_retired:
            self.generation.stop()
        self.leave()

    def leave(self) -> None:
        """Close the lane; the process goes on as long as it has others."""
        self._lane.close()
        self.generation.leave()
