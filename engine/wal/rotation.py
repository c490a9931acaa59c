"""Begin a segment: its file, and the checkpoint that is its first entry; or neither.

Called by the thread that appends.
"""

from __future__ import annotations

from engine.faultpoint import reach
from engine.model.entry import CheckpointEntry
from engine.wal.disk import Disk
from engine.wal.record import encode
from engine.wal.segment import SegmentFile, SegmentWriter, WriteFailed

__all__ = ["begin_segment"]


def begin_segment(
    file: SegmentFile,
    head: CheckpointEntry,
    disk: Disk,
    written_ns: int,
    *,
    reserve_bytes: int = 1,
    follows: int | None = None,
) -> SegmentWriter:
    """Create a segment with a durable checkpoint.

    Raises:
        WriteFailed: passing when the disk was full and nothing of the segment is left.
    """
    try:
        writer = SegmentWriter.create(file, disk, reserve_bytes, follows)
        reach("wal.segment_created")
        try:
            writer.append(encode(file.first_sequence, [head], writer.seed, written_ns=written_ns))
        except WriteFailed:
            writer.close()
            raise
    except WriteFailed as failure:
        is_discarded = isinstance(failure.cause, FileExistsError) or _discard(file, disk)
        is_final = failure.is_final or not is_discarded
        raise WriteFailed(file.path, failure.cause, is_final=is_final) from failure
    reach("wal.segment_begun")
    return writer


def _discard(file: SegmentFile, disk: Disk) -> bool:
    """Remove a segment that could not be begun; return whether it is gone."""
    try:
        if not file.path.exists():
            return True
        disk.unlink(file.path)
        disk.sync_directory(file.path.parent)
    except OSError:
        return False
    return True
