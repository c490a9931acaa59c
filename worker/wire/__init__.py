"""The conversation between supervisor and worker, defined once for both ends.

`messages` names what is said, `codec` how it looks as bytes, `session` in which order, `faults`
what can go wrong. Everything here is pure: no socket, no clock, no thread.
"""

from worker.wire.codec import decode, encode
from worker.wire.faults import Fault, LocalWireError, RemoteWireError
from worker.wire.limits import API_VERSION, LIMITS, PROTOCOL_VERSION
from worker.wire.messages import Message
from worker.wire.session import Session, State

__all__ = [
    "API_VERSION",
    "LIMITS",
    "PROTOCOL_VERSION",
    "Fault",
    "LocalWireError",
    "Message",
    "RemoteWireError",
    "Session",
    "State",
    "decode",
    "encode",
]
