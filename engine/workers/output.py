"""What a run gives besides its calls: buffered lines, and an answer that comes in parts.

Made for one run and used in its lane's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from engine.errors import ProtocolFault
from engine.model.event import BufferedLines, PluginResponse, Succeeded
from engine.workers.answers import AnswerSink
from worker.wire import messages as wire
from worker.wire.faults import CANCELLED, Fault

__all__ = ["RunOutput"]

_MAX_BUFFERED_CHARACTERS = 256 * 1024 * 1024
_PART_CHARACTERS = 256  # what a part takes however little it says
_GONE = wire.FaultReply(Fault(CANCELLED, "the client has closed the connection"))


class RunOutput:
    """Takes what a run says until its result."""

    def __init__(self, answer: AnswerSink | None, on_abandon: Callable[[], object]) -> None:
        self._answer = answer
        self._on_abandon = on_abandon
        self._lines: list[BufferedLines] = []
        self._characters = 0
        self._is_told = False

    @property
    def is_unwanted(self) -> bool:
        """Whether nobody waits any more for the answer that the run is giving."""
        return self._answer is not None and self._answer.is_abandoned

    def must_cancel(self) -> bool:
        """Return True once when the run has become unwanted."""
        is_news = self.is_unwanted and not self._is_told
        self._is_told = self._is_told or is_news
        return is_news

    def add(self, message: wire.Lines | wire.Head) -> None:
        """Take lines, or the head of an answer.

        Raises:
            ProtocolFault: too many lines, or a head that nobody waits for.
        """
        match message:
            case wire.Lines(database, text):
                self._characters += _PART_CHARACTERS + len(database or "") + len(text)
                if self._characters > _MAX_BUFFERED_CHARACTERS:
                    raise ProtocolFault("the run wrote more lines than one run may")
                self._lines.append(BufferedLines(database, text))
            case wire.Head(status, headers, length):
                self._expect_answer().begin(status, headers, length, self._on_abandon)

    def put(self, chunk: wire.Chunk) -> Future[wire.DoneReply | wire.FaultReply]:
        """Take a part of the answer; the future is the reply to it.

        Raises:
            ProtocolFault: nobody waits for one.
        """
        reply: Future[wire.DoneReply | wire.FaultReply] = Future()
        room = self._expect_answer().put(chunk.body)
        room.add_done_callback(
            lambda done: reply.set_result(wire.DoneReply() if done.result() else _GONE)
        )
        return reply

    def succeeded(self, response: wire.Response | None) -> Succeeded:
        """Return the outcome of a run without a fault.

        Raises:
            ProtocolFault: the answer does not fit its parts.
        """
        whole = None
        if response is not None:
            whole = PluginResponse(response.status, response.headers, response.body)
        if self._answer is not None:
            self._answer.end(whole)
        return Succeeded(tuple(self._lines), whole)

    def _expect_answer(self) -> AnswerSink:
        if self._answer is None:
            raise ProtocolFault("an answer that nobody waits for")
        return self._answer
