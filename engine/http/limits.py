"""What one client may take from the edge: bytes, connections and time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EdgeLimits"]


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds that hold for every client; sizes in bytes, durations in seconds.

    Args:
        max_request_bytes: of a body, checked as sent and again after decompression.
        max_held_bytes: of all requests together, bodies and answers; twice the largest result of a
            query and some more.
        max_head_bytes: of the request line and headers; larger than any client's, small enough
            that a thousand connections cannot fill the memory with them.
        max_connections: open at a time; also kept below half of the process's file descriptors,
            so that clients cannot keep the log from opening its next segment.
        first_byte_s: until the first bytes of a connection decide what it speaks.
        head_s: until a request's headers are complete.
        body_idle_s: without a byte of a body that is not complete.
        stalled_write_s: without the client taking a byte of its answer.
        keep_alive_s: a connection may rest between two requests; longer than the 10 s at which
            collectors usually send.
        grace_s: running requests may finish within it after a stop.
    """

    max_request_bytes: int = 10 * 1024 * 1024
    max_held_bytes: int = 1024 * 1024 * 1024
    max_head_bytes: int = 64 * 1024
    max_connections: int = 2048
    first_byte_s: float = 10.0
    head_s: float = 15.0
    body_idle_s: float = 30.0
    stalled_write_s: float = 60.0
    keep_alive_s: float = 30.0
    grace_s: float = 5.0
