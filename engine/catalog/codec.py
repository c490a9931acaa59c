"""Commits and snapshots of the catalog as JSON.

    {"format": 1, "crc32": "<8 hex digits>", "content": CONTENT}

    CONTENT of a commit    {"number": n, "changes": [CHANGE, ...]}
    CONTENT of a snapshot  {"number": n, "uuid": text, "next_id": n, "changes": [CHANGE, ...]}
    CHANGE                 see `engine.catalog.change_codec`

A snapshot is written as the changes that make its state, so that there is one way to read both.
It is written change by change, because a long text that the json module writes in one go keeps
all other threads waiting.
The checksum is taken of the content as written here (sorted keys, no spaces, ASCII), so that a
flipped bit in a name is noticed, while indentation does no harm.
Pure; may be called from any thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from zlib import crc32

from engine.catalog.change import Change
from engine.catalog.change_codec import decode_change, encode_change
from engine.catalog.fold import apply_all, changes_of
from engine.catalog.state import Catalog

__all__ = [
    "FORMAT",
    "decode_commit",
    "decode_snapshot",
    "encode_commit",
    "encode_snapshot",
    "is_whole",
]

FORMAT = 1
_END = b"}\n"


def encode_commit(number: int, changes: Sequence[Change]) -> bytes:
    """Write a commit."""
    return _seal({"number": number}, changes)


def decode_commit(raw: bytes) -> tuple[int, tuple[Change, ...]]:
    """Read a commit.

    Returns:
        Its number and its changes.

    Raises:
        ValueError: damaged, or of a newer format.
    """
    match _unseal(raw):
        case {"number": int(number), "changes": list(changes)}:
            return number, tuple(map(decode_change, changes))
        case _:
            raise ValueError("not a commit of the catalog")


def encode_snapshot(catalog: Catalog) -> bytes:
    """Write a whole catalog."""
    facts = {"number": catalog.number, "uuid": catalog.uuid, "next_id": catalog.next_id}
    return _seal(facts, changes_of(catalog))


def decode_snapshot(raw: bytes) -> Catalog:
    """Read a whole catalog.

    Raises:
        ValueError: damaged, or of a newer format.
        InconsistentChange: its changes do not fit each other.
    """
    match _unseal(raw):
        case {
            "number": int(number),
            "uuid": str(uuid),
            "next_id": int(next_id),
            "changes": list(changes),
        }:
            made = apply_all(Catalog.empty(uuid), map(decode_change, changes), number)
            return replace(made, next_id=max(next_id, made.next_id))
        case _:
            raise ValueError("not a snapshot of the catalog")


def is_whole(raw: bytes) -> bool:
    """Tell quickly whether a file is as it was written, without reading what it says."""
    head = re.match(rb'{"format":1,"crc32":"([0-9a-f]{8})","content":', raw)
    if head is None or not raw.endswith(_END):
        return False
    return crc32(memoryview(raw)[head.end() : -len(_END)]) == int(head[1], 16)


def _seal(facts: Mapping[str, object], changes: Iterable[Change]) -> bytes:
    written = b",".join(_canonical(encode_change(change)) for change in changes)
    rest = _canonical(facts).removeprefix(b"{")
    text = b'{"changes":[%b],%b' % (written, rest)  # "changes" sorts before all facts
    return b'{"format":%d,"crc32":"%08x","content":%b%b' % (FORMAT, crc32(text), text, _END)


def _unseal(raw: bytes) -> object:
    match _loaded(raw):
        case {"format": int(number)} if number > FORMAT:
            raise ValueError(
                f"written in format {number}, but this program reads up to {FORMAT}; "
                "start a newer version"
            )
        case {"format": 1, "crc32": str(checksum), "content": dict(content)}:
            if not is_whole(raw):  # it may be indented
                found = f"{crc32(_canonical(content)):08x}"
                if found != checksum:
                    raise ValueError(f"checksum is {found} but should be {checksum}")
            return content
        case _:
            raise ValueError("not a file of the catalog")


def _loaded(raw: bytes) -> object:
    try:
        loaded: object = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return loaded


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
