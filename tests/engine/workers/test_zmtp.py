from __future__ import annotations

import socket
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ProtocolFault
from engine.workers.zmtp import OPENING, Decoder, header

MESSAGES = st.lists(st.binary(max_size=700), max_size=12)


def decoded(parts: list[bytes], max_bytes: int = 1 << 20) -> list[bytes]:
    decoder = Decoder(max_bytes)
    messages = []
    for part in parts:
        decoder.feed(part)
        while (message := decoder.take()) is not None:
            messages.append(bytes(message))
    return messages


def stream_of(messages: list[bytes]) -> bytes:
    return OPENING + b"".join(header(len(m)) + m for m in messages)


def opening_with(at: int, changed: bytes) -> bytes:
    return OPENING[:at] + changed + OPENING[at + len(changed) :]


@given(MESSAGES, st.data())
def test_any_cut_of_the_bytes_gives_the_same_messages(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = stream_of(messages)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=30).map(sorted))

    parts = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]

    assert decoded(parts) == messages


@given(MESSAGES)
def test_bytes_that_come_one_by_one_or_are_taken_late_give_the_same_messages(
    messages: list[bytes],
) -> None:
    stream = stream_of(messages)
    late = Decoder(1 << 20)
    for at in range(0, len(stream), 100):
        late.feed(stream[at : at + 100])

    assert decoded([bytes([byte]) for byte in stream]) == messages
    assert [bytes(late.take() or b"") for _ in messages] == messages


@given(st.lists(st.binary(max_size=100), max_size=20), st.integers(0, len(OPENING)))
def test_garbage_is_a_protocol_fault_and_nothing_else(garbage: list[bytes], kept: int) -> None:
    try:
        messages = decoded([OPENING[:kept], *garbage], max_bytes=1000)
    except ProtocolFault:
        return
    assert sum(map(len, messages)) <= sum(map(len, garbage))


@given(st.integers(0, len(OPENING) - 1), st.binary(min_size=1, max_size=8))
def test_a_changed_opening_is_a_protocol_fault_and_nothing_else(at: int, changed: bytes) -> None:
    try:
        assert len(decoded([opening_with(at, changed), bytes(300)])) <= 301
    except ProtocolFault:
        return


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (opening_with(0, b"\x01"), "no ZMTP 3"),
        (opening_with(10, b"\x02"), "no ZMTP 3"),
        (opening_with(12, b"PLAIN"), "another mechanism"),
        (opening_with(32, b"\x01"), "another mechanism"),
        (OPENING[:64] + b"\x00\x05hello", "before the handshake"),
        (OPENING[:64] + b"\x04\x06\x05ERROR", "not READY"),
        (OPENING[:64] + b"\x04\x09\x05READY\x04Na", "cut off"),
        (OPENING[:64] + b"\x04\x06\x05READY", "no PAIR"),
        (OPENING.replace(b"PAIR", b"PULL"), "no PAIR"),
        (OPENING[:64] + b"\x06" + (1 << 20).to_bytes(8, "big"), "1048576 bytes; 1024"),
        (OPENING + b"\x01\x01x", "several frames"),
        (OPENING + b"\x03" + bytes(8), "several frames"),
        (OPENING + b"\x04\x07\x04PING\x00\x00", "a command"),
        (OPENING + b"\x10\x00", "unknown flags 0x10"),
        (OPENING + b"\x02" + (1001).to_bytes(8, "big"), "1001 bytes; 1000"),
        (OPENING + b"\x02" + b"\xff" * 8, "bytes; 1000"),
    ],
)
def test_what_no_pair_socket_sends_is_refused_with_the_reason(stream: bytes, reason: str) -> None:
    with pytest.raises(ProtocolFault, match=reason):
        decoded([stream], max_bytes=1000)


def test_messages_before_a_fault_are_not_lost() -> None:
    decoder = Decoder(1000)
    decoder.feed(stream_of([b"one", b"two"]) + b"\x01\x00")

    assert [decoder.take(), decoder.take()] == [b"one", b"two"]
    with pytest.raises(ProtocolFault):
        decoder.take()


def test_a_large_message_in_small_parts_takes_little_more_memory_than_itself() -> None:
    size = 8 << 20
    decoder = Decoder(size)
    decoder.feed(OPENING + header(size))
    part = bytes(8192)
    tracemalloc.start()
    try:
        for _ in range(size // len(part)):
            assert decoder.take() is None
            decoder.feed(part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(decoder.take() or b"") == size
    assert peak < 2.5 * size


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 255, b"x" * 256, b"x" * 100_000])
def test_a_pair_socket_of_zeromq_understands_us_and_we_understand_it(
    tmp_path: Path, body: bytes
) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with socket.socket(socket.AF_UNIX) as listening, context.socket(zmq.PAIR) as pair:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        pair.setsockopt(zmq.LINGER, 0)
        pair.connect(f"ipc://{tmp_path}/s")
        with listening.accept()[0] as peer:
            peer.settimeout(5)
            peer.sendall(OPENING)
            pair.send(body)
            decoder = Decoder(1 << 20)
            while (message := decoder.take()) is None:
                decoder.feed(peer.recv(8192))
            assert message == body
            peer.sendall(header(len(body)) + body)
            assert pair.recv() == body
    context.term()
