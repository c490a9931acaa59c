"""The legal order of messages as one table; both ends hold the same object for one lane.

    await_hello --Hello--> greeted --Welcome--> restoring --Ready--> idle
    restoring: Restore                          idle: Load
    idle --a run--> running --Result--> idle    running: Lines, Head
    running --a call--> calling --a reply--> running
    idle --Stop--> stopped

A worker may send Log and Mirror in every state after its Hello, the engine Cancel in every state
after that too: neither waits for the other's turn. One lane, one thread at a time.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from worker.wire import messages as m
from worker.wire.faults import LocalWireError, RemoteWireError

__all__ = ["Session", "Side", "State"]

Side = Literal["engine", "worker"]


class State(Enum):
    """Where a conversation stands."""

    AWAIT_HELLO = "await_hello"
    GREETED = "greeted"
    RESTORING = "restoring"
    IDLE = "idle"
    RUNNING = "running"
    CALLING = "calling"
    STOPPED = "stopped"


_TURNS: dict[tuple[State, type], State] = {
    (State.AWAIT_HELLO, m.Hello): State.GREETED,
    (State.GREETED, m.Welcome): State.RESTORING,
    (State.RESTORING, m.Restore): State.RESTORING,
    (State.RESTORING, m.Ready): State.IDLE,
    (State.IDLE, m.Load): State.IDLE,
    (State.IDLE, m.WalRun): State.RUNNING,
    (State.IDLE, m.ScheduledRun): State.RUNNING,
    (State.IDLE, m.RequestRun): State.RUNNING,
    (State.IDLE, m.Stop): State.STOPPED,
    (State.RUNNING, m.Lines): State.RUNNING,
    (State.RUNNING, m.Head): State.RUNNING,
    (State.RUNNING, m.Result): State.IDLE,
    **{
        (State.RUNNING, call): State.CALLING
        for call in (
            m.QueryCall,
            m.WriteCall,
            m.CachePutCall,
            m.CacheGetCall,
            m.CacheDeleteCall,
            m.Chunk,
        )
    },
    **{
        (State.CALLING, reply): State.RUNNING
        for reply in (m.QueryReply, m.DoneReply, m.CacheReply, m.FaultReply)
    },
    **{
        (state, side_note): state
        for state in State
        if state is not State.AWAIT_HELLO
        for side_note in (m.Log, m.Mirror, m.Cancel)
    },
}

SENDERS: dict[type, Side] = {
    **dict.fromkeys(m.FromWorker.__args__, "worker"),
    **dict.fromkeys(m.FromEngine.__args__, "engine"),
}


class Session:
    """Follows one conversation and refuses what is out of turn."""

    __slots__ = ("_other", "_side", "state")

    def __init__(self, side: Side) -> None:
        self._side: Side = side
        self._other: Side = "worker" if side == "engine" else "engine"
        self.state = State.AWAIT_HELLO

    def __repr__(self) -> str:
        return f"<Session of the {self._side}: {self.state.value}>"

    def sent(self, message: m.Message) -> None:
        """Note a message that this end is about to send.

        Raises:
            LocalWireError: it is not this end's to send, or not now; the state stays.
        """
        following = _TURNS.get((self.state, type(message)))
        if following is None or SENDERS[type(message)] != self._side:
            raise LocalWireError(self._complaint(self._side, message))
        self.state = following

    def received(self, message: m.Message) -> None:
        """Note a message from the other end.

        Raises:
            RemoteWireError: it is not the other end's to send, or not now; the state stays.
        """
        following = _TURNS.get((self.state, type(message)))
        if following is None or SENDERS[type(message)] != self._other:
            raise RemoteWireError(self._complaint(self._other, message))
        self.state = following

    def _complaint(self, sender: Side, message: m.Message) -> str:
        return f"{type(message).__name__} from the {sender} while {self.state.value}"
