"""A process for tests: commit without end, and say on standard output what has been acknowledged.

Arguments: directory, first value. Each line is a sequence and the value that stands there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.wal.flusher import Committer
from engine.wal.log import Log
from tests.engine.wal.samples import write


def main(directory: Path, value: int) -> None:
    log = Log.open(directory, segment_bytes=20_000)
    committer = Committer(log, lambda first, entries: None, 1 << 20)
    committer.start()
    while True:
        futures = [committer.submit(write(float(value + number))) for number in range(3)]
        for future in futures:
            os.write(1, f"{future.result(10)} {value}\n".encode())
            value += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
