"""Reads a file's rows of one stretch of time after another, in little memory.

The rows of a file stand in order of their series, so those of a stretch are all over it. The file
is gone through for every stretch, one row group at a time, and only rows of the stretch are kept;
row groups that have none are left out.

Threads: one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DamagedFile
from engine.model.file import ParquetFile
from engine.model.schema import TIME
from engine.storage.dedup import time_values
from engine.storage.parquet import check_file, unreadable
from engine.storage.pieces import with_own_values

__all__ = ["Stretches"]


class Stretches:
    """The rows of one file by time; see the module.

    Args:
        root: the node's folder.
        file: to be there until the last read.

    Raises:
        DamagedFile: it is missing or not what was written.
        DiskFailed: the system has no room to open it now.
    """

    def __init__(self, root: Path, file: ParquetFile) -> None:
        check_file(root, file)
        self.file = file
        self._path = root / file.path
        self._bounds: list[tuple[int, int]] | None = None  # of the times of each row group

    def times(self) -> npt.NDArray[np.int64]:
        """Return the times of all rows, as they stand in the file."""
        with self._opened() as content:
            groups = [
                time_values(content.read_row_group(group, columns=[TIME]))
                for group in range(content.num_row_groups)
            ]
        self._bounds = [(int(group.min()), int(group.max())) for group in groups]
        return np.concatenate(groups)

    def read(self, low_ns: int, high_ns: int) -> list[pa.RecordBatch]:
        """Return the rows of a stretch, first and last time included, in the file's order."""
        if self._bounds is None:
            self.times()
        rows: list[pa.RecordBatch] = []
        with self._opened() as content:
            for group, (first, last) in enumerate(self._bounds or ()):
                if first <= high_ns and last >= low_ns:
                    rows += _within(content.read_row_group(group), low_ns, high_ns)
        return rows

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            with self._path.open("rb") as file, pq.ParquetFile(file) as content:
                yield content
        except pa.ArrowMemoryError:
            raise  # nothing is wrong with the file
        except pa.ArrowException as error:
            raise DamagedFile(self.file.path, f"cannot be read ({error})") from error
        except OSError as error:
            raise unreadable(self.file, error) from error


def _within(rows: pa.Table, low_ns: int, high_ns: int) -> list[pa.RecordBatch]:
    time = time_values(rows)
    is_inside = (time >= low_ns) & (time <= high_ns)
    if not is_inside.any():
        return []
    kept = rows if is_inside.all() else rows.filter(pa.array(is_inside))
    return [with_own_values(batch) for batch in kept.to_batches() if batch.num_rows]
