import gc
import struct

import msgpack
import pytest

from worker.rows import result_rows, rows_of
from worker.wire import RemoteWireError
from worker.wire.messages import Block, BlockColumn


def _texts(*texts: str) -> tuple[bytes, bytes]:
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text.encode()))
    return "".join(texts).encode(), struct.pack(f"<{len(ends)}i", *ends)


def _mixed_block() -> Block:
    blob, offsets = _texts("a", "é")
    return Block(
        "cpu",
        2,
        (
            BlockColumn(
                "host", "D", struct.pack("<2i", 1, 0), struct.pack("<i", 2) + offsets + blob
            ),
            BlockColumn("load", "d", struct.pack("<2d", 0.5, 0), b"", struct.pack("<i", 1)),
            BlockColumn("note", "s", blob, offsets),
            BlockColumn("up", "?", b"\x01\x00"),
            BlockColumn("gone", "n", b"", b"", struct.pack("<2i", 0, 1)),
            BlockColumn("time", "q", struct.pack("<2q", 10, 20)),
        ),
    )


def test_rows_lack_the_keys_of_nulls() -> None:
    assert rows_of(_mixed_block()) == [
        {"host": "é", "load": 0.5, "note": "a", "up": True, "time": 10},
        {"host": "a", "note": "é", "up": False, "time": 20},
    ]


def test_rows_of_a_result_hold_none_for_nulls() -> None:
    assert result_rows(_mixed_block())[1] == {
        "host": "a",
        "load": None,
        "note": "é",
        "up": False,
        "gone": None,
        "time": 20,
    }


def test_rows_are_real_and_new_each_time() -> None:
    block = _mixed_block()

    first = rows_of(block)
    first[0]["mine"] = 1

    assert type(first) is list
    assert type(first[0]) is dict
    assert "mine" not in rows_of(block)[0]


@pytest.mark.parametrize("name", ["'", '"', "\\", "}", "a\nb", "{x}", "\0", "é"])
def test_a_column_name_is_never_code(name: str) -> None:
    block = Block("t", 1, (BlockColumn(name, "q", struct.pack("<q", 1)),))

    assert rows_of(block) == [{name: 1}]


def test_the_collector_runs_again_after_a_large_block() -> None:
    block = Block("t", 5000, (BlockColumn("n", "q", b"\0" * 8 * 5000),))

    assert len(rows_of(block)) == 5000

    assert gc.isenabled()


@pytest.mark.parametrize(
    "column",
    [
        BlockColumn("c", "D", struct.pack("<i", 7), struct.pack("<2i", 0, 0)),
        BlockColumn("c", "o", msgpack.packb([1, 2])),
        BlockColumn("c", "o", b"\xc1"),
        BlockColumn("c", "s", b"\xff", struct.pack("<2i", 0, 1)),
    ],
)
def test_contradicting_buffers_are_a_fault_of_the_sender(column: BlockColumn) -> None:
    with pytest.raises(RemoteWireError, match="do not fit"):
        rows_of(Block("t", 1, (column,)))
    assert gc.isenabled()
