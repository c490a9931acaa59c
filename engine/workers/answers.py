"""The way of a request's answer from the lane to whoever waits for it.

An answer is a whole, given with the run's result, or it comes in parts. Of a *stream* the head goes
out at once and the parts follow; the newest part is held back until another follows or the run's
lines are committed, unless the reader cannot wait for it. A body whose *length* is known, and any
other under `holds_all`, goes out after the commit only. A part that finds the queue full waits, and
the plugin with it, so a slow reader holds no memory.

    begin -> put* -> end -> finish        or at any time fail, abandon (by the reader)

`_lock` guards all fields; futures and callbacks are called without it. `begin`, `put`, `end`,
`finish` and `fail` belong to the lane's thread, `watch`, `take` and `abandon` to one reader.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from engine.errors import EngineError, PluginFailed, ProtocolFault
from engine.model.event import BodyState, PluginResponse
from worker.wire import LIMITS

__all__ = ["AnswerSink"]

_MAX_WAITING_BYTES = LIMITS.chunk_bytes
_MAX_WAITING_PARTS = 64


class AnswerSink:
    """One answer on its way; also the `BodyParts` of an answer that comes in parts."""

    def __init__(self, answer: Future[PluginResponse], *, holds_all: bool = False) -> None:
        self._answer = answer
        self._holds_all = holds_all
        self._lock = threading.Lock()
        self._head: tuple[int, tuple[tuple[str, str], ...]] | None = None
        self._length: int | None = None
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._taken_bytes = 0
        self._room: Future[bool] | None = None
        self._state = BodyState.OPEN
        self._has_ended = False
        self._is_abandoned = False
        self._on_change: Callable[[], object] = _nothing
        self._on_abandon: Callable[[], object] = _nothing

    def __repr__(self) -> str:
        return f"<AnswerSink: {self._state.value}, {self._waiting_bytes} bytes wait>"

    @property
    def length(self) -> int | None:
        """Bytes of the whole body; None for a stream."""
        return self._length

    @property
    def is_abandoned(self) -> bool:
        """Whether the reader has left before the run's end."""
        return self._is_abandoned

    def begin(
        self,
        status: int,
        headers: tuple[tuple[str, str], ...],
        length: int | None,
        on_abandon: Callable[[], object],
    ) -> None:
        """Take the head of an answer in parts.

        Args:
            status: as the plugin gave it.
            headers: as the plugin gave them.
            length: of the whole body, or None for a stream.
            on_abandon: called in the reader's thread when it leaves before the run's end.

        Raises:
            ProtocolFault: there was a head before, or the body would be larger than allowed.
        """
        if self._head is not None:
            raise ProtocolFault("a second head of an answer")
        if length is not None and not 0 <= length <= LIMITS.body_bytes:
            raise ProtocolFault(f"an answer of {length} bytes")
        self._head, self._length, self._on_abandon = (status, headers), length, on_abandon
        if not self._is_held:
            self._answer.set_result(PluginResponse(status, headers, self))

    def put(self, part: bytes) -> Future[bool]:
        """Take a part of the body.

        Returns:
            A future that is done when there is room for another; False: nobody wants one.

        Raises:
            ProtocolFault: the answer has no head, or is longer than it said.
        """
        if self._head is None or len(part) > LIMITS.chunk_bytes:
            raise ProtocolFault("a part of an answer without a head, or too large")
        room: Future[bool] = Future()
        with self._lock:
            if not self._is_abandoned:
                self._parts.append(part)
                self._waiting_bytes += len(part)
                self._taken_bytes += len(part)
            is_wanted = not self._is_abandoned and not self._is_too_long()
            has_room = not is_wanted or self._is_held or self._has_room()
            self._room = None if has_room else room
        if has_room:
            room.set_result(is_wanted)
        self._on_change()
        return room

    def end(self, response: PluginResponse | None) -> None:
        """Note that the run has succeeded; what is held back waits for its commit.

        Raises:
            ProtocolFault: the result does not fit the parts before it.
        """
        if self._head is None:
            return
        if response is not None:
            raise ProtocolFault("an answer both whole and in parts")
        if self._length is not None and self._taken_bytes != self._length:
            raise ProtocolFault(f"an answer of {self._taken_bytes} bytes, not {self._length}")
        with self._lock:
            self._has_ended = True

    def finish(self, response: PluginResponse | None) -> None:
        """Let the answer, or the rest of it, go out: the run's lines are committed."""
        if self._head is None and response is None:
            self._answer.set_exception(PluginFailed("the plugin gave no response"))
        elif response is not None:
            self._answer.set_result(response)
        else:
            self._close(BodyState.COMPLETE)
            if self._head is not None and self._is_held:
                self._answer.set_result(PluginResponse(*self._head, self))

    def fail(self, error: EngineError) -> None:
        """Tell whoever waits that there is no answer, or that it breaks off."""
        self._close(BodyState.BROKEN)
        if not self._answer.done():
            self._answer.set_exception(error)

    def watch(self, on_change: Callable[[], object]) -> None:
        """Have a function called whenever `take` may have more to give."""
        self._on_change = on_change

    def take(self, *, with_last: bool) -> bytes | BodyState:
        """Return the next part, or how the body stands; see `BodyParts`."""
        with self._lock:
            is_free = self._state is not BodyState.OPEN or (with_last and not self._has_ended)
            if len(self._parts) < (1 if is_free else 2):
                return BodyState.OPEN if self._parts else self._state
            part = self._parts.popleft()
            self._waiting_bytes -= len(part)
            room = self._room if self._has_room() else None
            if room is not None:
                self._room = None
        if room is not None:
            room.set_result(True)
        return part

    def abandon(self) -> None:
        """Take no more; a run that is still making the body is cancelled."""
        with self._lock:
            is_making = self._state is BodyState.OPEN and not self._has_ended
            self._is_abandoned = self._is_abandoned or is_making
            self._parts.clear()
            self._waiting_bytes = 0
            room, self._room = self._room, None
        if room is not None:
            room.set_result(False)
        if is_making:
            self._on_abandon()

    @property
    def _is_held(self) -> bool:
        return self._holds_all or self._length is not None

    def _has_room(self) -> bool:
        return self._waiting_bytes <= _MAX_WAITING_BYTES and len(self._parts) <= _MAX_WAITING_PARTS

    def _is_too_long(self) -> bool:
        return self._is_held and self._taken_bytes > LIMITS.body_bytes

    def _close(self, state: BodyState) -> None:
        with self._lock:
            if self._state is BodyState.OPEN:
                self._state = state
            room, self._room = self._room, None
        if room is not None:
            room.set_result(False)
        self._on_change()


def _nothing() -> None:
    """Stand for a reader that does not watch yet."""
