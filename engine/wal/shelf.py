"""Which segments are kept, how large they are, and where in them records begin.

A reader that resumes where it stopped would have to read its segment from the start to find the
place. So some places are remembered: at most one for each MiB of the log, noted by the thread that
appends and by those that read.

Any thread; `_lock` guards all fields, and is never held while the disk is used.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from engine.wal.record import SEGMENT_HEADER_BYTES
from engine.wal.segment import SegmentFile

__all__ = ["Place", "Shelf"]

Place: TypeAlias = tuple[int, int]  # first sequence of a record, and its offset in the file

_BETWEEN_PLACES_BYTES = 1024 * 1024


class _Kept:
    """One segment: its size, and its places in order."""

    def __init__(self, file: SegmentFile, size: int) -> None:
        self.file = file
        self.size = size
        self.places: list[Place] = [(file.first_sequence, SEGMENT_HEADER_BYTES)]


class Shelf:
    """The segments of an open log, oldest first."""

    def __init__(self, files: Sequence[SegmentFile], sizes: Sequence[int]) -> None:
        self._lock = threading.Lock()
        self._kept = [_Kept(file, size) for file, size in zip(files, sizes, strict=True)]

    def __repr__(self) -> str:
        """Describe the shelf in a sentence."""
        places = sum(len(kept.places) for kept in self._kept)
        return f"<shelf of {len(self._kept)} segments, {places} places>"

    def files(self) -> tuple[SegmentFile, ...]:
        """Return the segments."""
        with self._lock:
            return tuple(kept.file for kept in self._kept)

    def spans(self, end: int) -> tuple[tuple[int, int, int], ...]:
        """Return the first sequence, the end and the bytes of each; the last ends with `end`."""
        with self._lock:
            starts = [kept.file.first_sequence for kept in self._kept]
            sizes = [kept.size for kept in self._kept]
        return tuple(zip(starts, [*starts[1:], max(end, starts[-1])], sizes, strict=True))

    def below(self, sequence: int) -> tuple[SegmentFile, ...]:
        """Return the segments all of whose entries are below a sequence, but never the last."""
        files = self.files()
        number = sum(file.first_sequence <= sequence for file in files[1:])
        return files[:number]

    def add(self, file: SegmentFile, size: int) -> None:
        """Put a new segment last."""
        with self._lock:
            self._kept.append(_Kept(file, size))

    def remove(self, file: SegmentFile) -> None:
        """Forget a segment."""
        with self._lock:
            self._kept = [kept for kept in self._kept if kept.file != file]

    def grow(self, sequence: int, end: int) -> None:
        """Note that a record was appended to the last segment, which is `end` bytes large now."""
        with self._lock:
            last = self._kept[-1]
            _note(last, (sequence, last.size))
            last.size = end

    def note(self, file: SegmentFile, place: Place) -> None:
        """Remember where a record begins, unless a place nearby is known."""
        with self._lock:
            for kept in self._kept:
                if kept.file == file:
                    _note(kept, place)

    def place(self, file: SegmentFile, sequence: int) -> Place:
        """Return the last known place at or before an entry of a segment."""
        with self._lock:
            for kept in self._kept:
                if kept.file == file:
                    return kept.places[max(0, _index(kept, sequence) - 1)]
        return (file.first_sequence, SEGMENT_HEADER_BYTES)


def _note(kept: _Kept, place: Place) -> None:
    index = _index(kept, place[0])
    near = kept.places[max(0, index - 1) : index + 1]
    if all(abs(place[1] - offset) >= _BETWEEN_PLACES_BYTES for _, offset in near):
        kept.places.insert(index, place)


def _index(kept: _Kept, sequence: int) -> int:
    return bisect_right(kept.places, sequence, key=lambda place: place[0])
