"""A peer that does not take what it is sent: how long it is waited for, and what ends the wait."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from engine.workers.endpoint import Context, Endpoint, NotTaken
from engine.workers.zmtp import OPENING
from tests.serving import eventually
from worker.wire import encode
from worker.wire.messages import Hello, Log

TOKEN = b"t" * 32
PIECE = bytes(60 << 10)


def frame(packed: bytes) -> bytes:
    return b"\x02" + len(packed).to_bytes(8, "big") + packed


@dataclass
class Scene:
    """An endpoint with its owner, and a pipe whose end stands for that of the owner's process."""

    endpoint: Endpoint
    peer: socket.socket
    alive: int
    ended: int

    def fill(self) -> None:
        """Send until there is no room: the peer reads nothing."""
        self.endpoint._patience_s = 0.2  # noqa: SLF001  a test is in a hurry
        with pytest.raises(NotTaken, match="does not take"):
            eventually(lambda: self.endpoint.send(PIECE), every_s=0.0)
        self.endpoint._patience_s = 50.0  # noqa: SLF001  longer than anything else here
        self.endpoint._fault = None  # noqa: SLF001  as before the last one


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    context: Context = zmq.Context()
    endpoint = Endpoint(context, f"ipc://{tmp_path}/lane")
    endpoint.expect(TOKEN)
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(f"{tmp_path}/lane")
    peer.sendall(OPENING + frame(encode(Hello(TOKEN, 1, 1, 1, "3", 0))))
    ended, alive = os.pipe()
    eventually(endpoint.pump)
    endpoint.receive()
    yield Scene(endpoint, peer, alive, ended)
    peer.close()
    endpoint.close()
    context.term()
    os.close(ended)


def test_a_message_to_a_process_that_has_ended_is_not_waited_for(scene: Scene) -> None:
    reasons = iter(["", "it has ended"])
    scene.fill()
    os.close(scene.alive)  # so that the wait is interrupted at once

    scene.endpoint.heed((scene.ended,), lambda: next(reasons))

    with pytest.raises(NotTaken, match="it has ended"):
        scene.endpoint.send(b"x")


def test_a_peer_that_left_before_it_was_heard_out_has_no_room_and_ends_no_wait_by_itself(
    scene: Scene,
) -> None:
    scene.peer.sendall(frame(encode(Log("INFO", "last words", 1))))
    scene.peer.close()
    scene.endpoint._patience_s = 50.0  # noqa: SLF001  longer than anything else here
    scene.endpoint.heed((scene.ended,), lambda: "it has ended")
    os.close(scene.alive)

    with pytest.raises(NotTaken, match="it has ended"):
        eventually(lambda: scene.endpoint.send(b"x"))  # is taken until the end is noticed

    assert scene.endpoint.pump()
    assert scene.endpoint.receive() == encode(Log("INFO", "last words", 1))
