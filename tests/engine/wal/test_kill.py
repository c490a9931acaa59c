"""What was acknowledged is there after the process was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.model.entry import WriteEntry
from engine.wal.log import Log
from tests.engine.wal.samples import replayed

ROOT = Path(__file__).parents[3]
ROUNDS = 4


def acknowledged_until_killed(directory: Path, value: int, count: int) -> list[tuple[int, int]]:
    """Let a process write, kill it after some acknowledgements, and return all that came."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engine.wal.acknowledging_writer", directory, str(value)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(count)]
        process.kill()
        lines += process.stdout.readlines()
    complete = [line for line in lines if line.endswith(b"\n")]
    pairs = [line.split() for line in complete]
    return [(int(sequence), int(value)) for sequence, value in pairs]


def test_every_acknowledged_entry_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: dict[int, int] = {}

    for number in range(ROUNDS):
        pairs = acknowledged_until_killed(tmp_path, 1_000_000 * number, 40 + 61 * number)
        acknowledged.update(pairs)
        log = Log.open(tmp_path)
        entries = dict(replayed(log))
        log.close()

        written = {
            sequence: int(entry.tables[0].rows.column("load")[0].as_py())
            for sequence, entry in entries.items()
            if isinstance(entry, WriteEntry)
        }
        assert len(pairs) >= 40 + 61 * number
        assert acknowledged.items() <= written.items()
        assert sorted(entries) == list(range(1, len(entries) + 1))
