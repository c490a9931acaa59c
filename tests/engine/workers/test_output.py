from __future__ import annotations

import pytest

from engine.errors import ProtocolFault
from engine.workers.output import RunOutput
from worker.wire.messages import Lines


def add(output: RunOutput, message: Lines, times: int) -> None:
    for _ in range(times):
        output.add(message)


@pytest.mark.parametrize(
    "message",
    [Lines(None, "x" * (16 << 20)), Lines("d" * (16 << 20), ""), Lines("é" * (8 << 20), "")],
)
def test_a_run_may_not_buffer_without_end_whatever_its_parts_hold(message: Lines) -> None:
    output = RunOutput(None, lambda: None)

    with pytest.raises(ProtocolFault, match="more lines"):
        add(output, message, 64)


def test_empty_parts_without_end_are_found_out() -> None:
    output = RunOutput(None, lambda: None)

    with pytest.raises(ProtocolFault, match="more lines"):
        add(output, Lines(None, ""), (1 << 20) + 1)
