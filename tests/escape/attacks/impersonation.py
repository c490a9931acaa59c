"""Speaking for others, and speaking nonsense, on the engine's side of the conversation.

A safe engine shows a worker its own endpoint only and lets it connect to nothing; whatever comes
over the one connection that exists is checked, bounded and at worst costs the worker its life.
Judged from outside for all of them: the server lives, has not grown, and the other trigger works.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from pathlib import Path

from .catalog import MIB, Local, World, attack
from .wire import engine_code, own_connections, own_endpoint, say

_MORE, _LONG, _COMMAND = 1, 2, 4
_MOST_BYTES = 1024 * MIB
_MOST_S = 3.0
_STUCK_S = 0.5
_PART = b"x" * (MIB // 4)


def _flood(part: bytes, most: int = _MOST_BYTES) -> None:
    """Write something over and over until enough is written, or nobody reads it any more."""
    (connection,) = own_connections()[:1]
    connection.setblocking(False)
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    written, deadline_s = 0, time.monotonic() + _MOST_S
    rest = memoryview(part)
    while written < most and time.monotonic() < deadline_s and poll.poll(_STUCK_S * 1000):
        sent = connection.send(rest)
        written += sent
        rest = rest[sent:] if sent < len(rest) else memoryview(part)


def _frame(flags: int, body: bytes) -> bytes:
    return struct.pack(">BQ", flags | _LONG, len(body)) + body


@attack()
def other_endpoint(world: World, local: Local) -> str | None:
    """Try: connect to another worker's endpoint. Safe: it is not there, and nothing connects."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(world.victim_endpoint)
    return "connected"


@attack()
def list_endpoints(world: World, local: Local) -> str | None:
    """Try: list the endpoints of other workers. Safe: only the own is there."""
    others = Path(world.victim_endpoint).parent
    return f"sees {os.listdir(others)}" if others.exists() else None


@attack()
def move_other_endpoint(world: World, local: Local) -> str | None:
    """Try: take another worker's endpoint away, to stand in its place. Safe: it is not there."""
    endpoint = Path(world.victim_endpoint)
    aside = endpoint.with_name(f"{endpoint.name}.{world.mark}")
    endpoint.rename(aside)
    aside.rename(endpoint)
    return "moved it and back"


@attack(is_deadly=True)
def second_peer(world: World, local: Local) -> str | None:
    """Try: connect to the own endpoint a second time, from a thread. Safe: nothing connects."""
    outcomes: list[str | OSError] = []
    endpoint = own_endpoint()

    def connect() -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(endpoint)
                outcomes.append("connected")
        except OSError as error:
            outcomes.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    outcome = outcomes[0]
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


@attack()
def write_beside_endpoint(world: World, local: Local) -> str | None:
    """Try: fill the folder of the own endpoint, which is on the host. Safe: read-only."""
    target = Path(own_endpoint()).with_name(world.mark)
    target.write_text("here I was")
    target.unlink()
    return f"wrote {target}"


@attack(is_deadly=True, is_lasting=True, is_heavy=True)
def endless_message(world: World, local: Local) -> str | None:
    """Try: one message of endless parts, each of them small. Safe: the worker is replaced."""
    _flood(_frame(_MORE, _PART))
    return None


@attack(is_deadly=True, is_lasting=True, is_heavy=True)
def many_messages(world: World, local: Local) -> str | None:
    """Try: 1 GiB of whole messages that nobody asked for. Safe: the worker is replaced."""
    _flood(_frame(0, _PART))
    return None


@attack(is_deadly=True)
def endless_commands(world: World, local: Local) -> str | None:
    """Try: commands of the protocol that carry nothing. Safe: the worker is replaced."""
    _flood(_frame(_COMMAND, b"\x04PING\x00\x00" + b"c" * 16), 64 * MIB)
    return None


@attack(is_deadly=True)
def oversized_frame(world: World, local: Local) -> str | None:
    """Try: announce a message of 1 TiB. Safe: nothing is made ready for it."""
    for connection in own_connections():
        connection.send(struct.pack(">BQ", _LONG, 1 << 40) + b"x" * 1000)
    return None


@attack(is_deadly=True)
def negative_frame(world: World, local: Local) -> str | None:
    """Try: announce a message of 2**64 - 1 bytes. Safe: nothing is made ready for it."""
    for connection in own_connections():
        connection.send(struct.pack(">BQ", _LONG, 2**64 - 1) + b"x" * 1000)
    return None


@attack(is_deadly=True)
def noise(world: World, local: Local) -> str | None:
    """Try: bytes that mean nothing. Safe: the worker is replaced."""
    for connection in own_connections():
        connection.send(os.urandom(100_000))
    return None


@attack(is_deadly=True)
def deep_message(world: World, local: Local) -> str | None:
    """Try: a message that is nested 30,000 deep. Safe: the worker is replaced."""
    for connection in own_connections():
        connection.send(_frame(0, b"\x91" * 30_000 + b"\xc0"))
    return None


@attack(is_deadly=True)
def wide_message(world: World, local: Local) -> str | None:
    """Try: a message that announces 4 billion elements. Safe: nothing is made ready for them."""
    for connection in own_connections():
        connection.send(_frame(0, b"\xdd\xff\xff\xff\xff"))
        connection.send(_frame(0, b"\xdf\xff\xff\xff\xff"))
    return None


@attack(is_deadly=True)
def greet_as_another(world: World, local: Local) -> str | None:
    """Try: greet again, under a token that is guessed. Safe: the worker is replaced."""
    code = engine_code()
    versions = (code["PROTOCOL_VERSION"], code["API_VERSION"])
    say("Hello", b"\0" * 32, *versions, world.victim_pid, "3.11.7", 0)
    return None


@attack(is_deadly=True)
def answer_twice(world: World, local: Local) -> str | None:
    """Try: say "ready" in the middle of a run. Safe: the worker is replaced."""
    say("Ready")
    return None


@attack(is_deadly=True, limits={"time": "1s"})
def half_a_frame(world: World, local: Local) -> str | None:
    """Try: begin a message and never end it, for longer than a run may last. Safe: time is up."""
    for connection in own_connections():
        connection.send(struct.pack(">BQ", _LONG, 1000))
    return None
