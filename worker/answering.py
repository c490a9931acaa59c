"""How an answer leaves: small ones with the run's result, larger ones and streams in parts.

A part is a call: it returns when there is room for another. When nobody wants one any more the
plugin's iterator is closed and the run ends as if it had been cancelled. Used by the lane's thread
while the plugin's run is on, because an iterator may call the API.
"""

from __future__ import annotations

from collections.abc import Iterable

from worker.api import Local
from worker.lane import Lane
from worker.response import InvalidResponse
from worker.streaming import Streamed, cut
from worker.wire import LIMITS
from worker.wire.messages import Chunk, FaultReply, Head, Response

__all__ = ["deliver"]

_MAX_IN_RESULT_BYTES = LIMITS.message_bytes // 8


def deliver(lane: Lane, local: Local, answer: Response | Streamed) -> Response | None:
    """Send an answer in parts if it must be.

    Returns:
        The answer when it is small enough for the result, else None.

    Raises:
        InvalidResponse: the body is too large for any answer.
        KeyboardInterrupt: nobody wants the answer any more, or the run has been cancelled.
        BaseException: what the plugin's iterator raised.
    """
    if isinstance(answer, Streamed):
        _stream(lane, local, answer)
        return None
    size = len(answer.body)
    if size <= _MAX_IN_RESULT_BYTES:
        return answer
    if size > LIMITS.body_bytes:
        raise InvalidResponse(
            f"the body of {size} bytes is over the limit of {LIMITS.body_bytes}; "
            "return an iterator to send it in parts"
        )
    lane.send(Head(answer.status, answer.headers, size))
    _send(lane, local, cut(answer.body))
    return None


def _stream(lane: Lane, local: Local, answer: Streamed) -> None:
    try:
        lane.send(Head(answer.status, answer.headers, None))
        _send(lane, local, answer.parts)
    finally:
        answer.parts.close()


def _send(lane: Lane, local: Local, parts: Iterable[bytes]) -> None:
    for part in parts:
        reply = lane.call(Chunk(part), local)
        if isinstance(reply, FaultReply):
            raise KeyboardInterrupt(reply.fault.message)
