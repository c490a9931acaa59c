"""Which files that cover the same time are put together next, and where their rows are cut.

A step takes several files of one stretch of time and gives files that do not touch one another.
It may take several times what one file may hold, because it is done in slices of time. Files that
are all over the same time thereby become sets whose times are apart, and in each of these times
the sets are put together again by later steps, so that a row is written about once for every
factor of eight.

Of all groups that are possible the one is taken in which the largest part of the rows lies beside
others. That part has to be at least a ninth, so that a row is not written again for little; a
slight overlap where one persist follows another is left alone.

A group must be closed: whatever touches one of its files and is newer than that, but not newer than
the group, belongs to it, or rows would change their order. Slight overlaps can chain so many files
to a group that it fits no step; then the chain is put in order first, part by part.

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.model.file import ParquetFile

__all__ = ["MAX_FILES", "STEP_PARTS", "cut_times", "overlap_group"]

MAX_FILES = 64
STEP_PARTS = 8  # times the rows of a file that a step may take; it takes some ten seconds
_SLIVER = 0.1  # part of the shorter file's time
_WORTHWHILE = 1 / 9  # part of the rows that lies beside others
_FAN_IN = 4  # so many files become one, be the others small
_SEEDS = 64  # compared with each other
_MAX_AROUND = 512  # files, to whose number memory and time go by the square

_Integers = npt.NDArray[np.int64]
_Booleans = npt.NDArray[np.bool_]


def overlap_group(
    files: Sequence[ParquetFile], max_rows: int, barred: Collection[str] = frozenset()
) -> tuple[ParquetFile, ...]:
    """Return files that cover the same time and should be put together next, or none.

    Args:
        files: all of a table.
        max_rows: of a file; the group may have `STEP_PARTS` times as many.
        barred: paths of files that no group may have.
    """
    for component in _components(sorted(files, key=lambda file: (file.min_ns, file.order))):
        around, beyond = _around(files, component)
        pool = _pool(around)
        seeds = [n for n, file in enumerate(pool.files) if file.path in component]
        is_barred = [file.path in barred or file.path in beyond for file in pool.files]
        group = _Search(pool, max_rows, np.array(is_barred)).best(seeds)
        if group is not None:
            return tuple(pool.files[n] for n in np.flatnonzero(group))
    return ()


def cut_times(time: _Integers, max_rows: int, others: Sequence[ParquetFile]) -> list[int]:
    """Cut rows into slices, where possible between the files that stay beside them.

    Args:
        time: of the rows, ascending.
        max_rows: of a slice; more only where so many have the same time.
        others: files whose times may overlap these.

    Returns:
        The first times of all slices but the first, ascending.
    """
    low = np.array([file.min_ns for file in others], dtype=np.int64)
    high = np.array([file.max_ns for file in others], dtype=np.int64)
    seams = np.union1d(low, _after(high))
    cuts: list[int] = []
    start = 0
    while len(time) - start > max_rows:
        left = len(time) - start
        aim = left // -(-left // max_rows)
        first = start + max(1, max_rows // 4, aim // 2)
        last = min(start + max_rows, len(time) - max(1, max_rows // 4))
        places = np.searchsorted(time, seams, "left")
        places = np.unique(places[(places >= first) & (places <= last)])
        places = np.append(places, _change(time, start, start + aim))
        if places[-1] == len(time):
            break
        wanted = time[places]
        straddled = ((low < wanted[:, None]) & (high >= wanted[:, None])).sum(axis=1)
        best = np.lexsort((np.abs(places - start - aim), straddled))[0]
        start = int(places[best])
        cuts.append(int(wanted[best]))
    return cuts


def _change(time: _Integers, start: int, aim: int) -> int:
    """Return a place near another at which the time changes, be it the end of all."""
    before = int(np.searchsorted(time, time[aim], "left"))
    return before if before > start else int(np.searchsorted(time, time[aim], "right"))


@dataclass(frozen=True, slots=True)
class _Pool:
    """Files in order of age, with what they have to do with each other.

    Args:
        files: in order of age.
        low: their first times.
        high: their last times.
        order: their ages.
        rows: how many each has.
        needs: by file, which touch it and are not older.
        shares: by file, which overlap it in more than a sliver.
    """

    files: tuple[ParquetFile, ...]
    low: _Integers
    high: _Integers
    order: _Integers
    rows: _Integers
    needs: _Booleans
    shares: _Booleans

    def closed(self, inside: _Booleans, top: int) -> _Booleans:
        """Add the files without which a group of this age would change the order of rows."""
        while True:
            wider = inside | (self.needs[inside].any(axis=0) & (self.order <= top))
            if bool((wider == inside).all()):
                return inside
            inside = wider

    def part_beside(self, inside: _Booleans) -> float:
        """Return about which part of a group's rows lies where another file has more of them."""
        low, high = self.low[inside], self.high[inside]
        edges = np.union1d(low, _after(high))
        density = self.rows[inside] / _lengths(low, high)
        covers = (low[:, None] <= edges[:-1]) & (high[:, None] >= edges[:-1])
        shares = covers * density[:, None] * _lengths(edges[:-1], edges[1:] - 1)
        return float(1 - shares.max(axis=0).sum() / shares.sum())


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for the best group in a pool.

    Args:
        pool: the files.
        max_rows: of a file.
        barred: which must not be in a group.
    """

    pool: _Pool
    max_rows: int
    barred: _Booleans

    def best(self, seeds: Sequence[int]) -> _Booleans | None:
        """Return the group with the largest part of its rows beside others, if it is worthwhile.

        Args:
            seeds: from which groups may grow; those of one component.
        """
        chained: list[_Booleans] = []
        for first in range(0, len(seeds), _SEEDS):
            groups = [g for seed in seeds[first : first + _SEEDS] for g in self._groups(seed)]
            found = [(self.pool.part_beside(group), group) for group in groups]
            found = [each for each in found if self._is_worthwhile(each[1], each[0])]
            if found:
                return max(found, key=lambda each: each[0])[1]
            chained += groups
        whole = np.zeros(len(self.pool.files), dtype=np.bool_)
        whole[list(seeds)] = True
        if not chained or not self._is_worthwhile(whole, self.pool.part_beside(whole)):
            return None
        return max(chained, key=lambda group: int(self.pool.rows[group].sum()))

    def _groups(self, seed: int) -> Iterator[_Booleans]:
        """Yield groups of at least two files that begin with one, each with newer ones too."""
        pool = self.pool
        inside = np.zeros(len(pool.files), dtype=np.bool_)
        inside[seed] = True
        seen = 1
        for top in np.unique(pool.order[pool.order >= pool.order[seed]]):
            inside = pool.closed(inside, int(top))
            if not self._fits(inside):
                return
            group = self._grown(inside, seed, int(top))
            if (count := int(group.sum())) > seen:
                seen = count
                yield group

    def _grown(self, inside: _Booleans, seed: int, top: int) -> _Booleans:
        """Add what else lies beside the group, from early to late times, as far as it fits."""
        pool = self.pool
        by_time = np.argsort(pool.low, kind="stable")
        may = (pool.order >= pool.order[seed]) & (pool.order <= top) & ~inside
        for place in by_time[may[by_time]]:
            if inside[place] or not bool((pool.shares[place] & inside).any()):
                continue
            wider = inside.copy()
            wider[place] = True
            wider = pool.closed(wider, top)
            if self._fits(wider):
                inside = wider
        return inside

    def _fits(self, group: _Booleans) -> bool:
        rows, count = int(self.pool.rows[group].sum()), int(group.sum())
        is_free = not bool((group & self.barred).any())
        return is_free and count <= MAX_FILES and rows <= STEP_PARTS * self.max_rows

    def _is_worthwhile(self, group: _Booleans, part_beside: float) -> bool:
        rows = int(self.pool.rows[group].sum())
        is_one_file = rows <= self.max_rows and int(group.sum()) >= _FAN_IN
        return part_beside >= _WORTHWHILE or is_one_file


def _around(
    files: Sequence[ParquetFile], component: Collection[str]
) -> tuple[list[ParquetFile], set[str]]:
    """Return files that have to do with a component, and which of them touch yet others."""
    known = [file for file in files if file.path in component]
    while True:
        first, last = min(f.min_ns for f in known), max(f.max_ns for f in known)
        touching = [file for file in files if file.min_ns <= last and file.max_ns >= first]
        if len(touching) == len(known) or len(touching) > _MAX_AROUND:
            return touching, {f.path for f in touching} - {f.path for f in known}
        known = touching


def _pool(files: Sequence[ParquetFile]) -> _Pool:
    by_age = sorted(files, key=lambda file: (file.order, file.min_ns))
    low = np.array([file.min_ns for file in by_age], dtype=np.int64)
    high = np.array([file.max_ns for file in by_age], dtype=np.int64)
    order = np.array([file.order for file in by_age], dtype=np.int64)
    rows = np.array([file.rows for file in by_age], dtype=np.int64)
    starts, ends = np.maximum(low[:, None], low), np.minimum(high[:, None], high)
    touches = starts <= ends
    lengths = _lengths(low, high)
    shared = np.where(touches, _lengths(starts, ends), 0.0)
    shares = shared > _SLIVER * np.minimum(lengths[:, None], lengths)
    needs = touches & (order[:, None] <= order)
    return _Pool(tuple(by_age), low, high, order, rows, needs, shares)


def _components(by_time: Sequence[ParquetFile]) -> Iterator[set[str]]:
    """Yield the paths of files that hang together by more than slivers."""
    active: list[ParquetFile] = []
    of: dict[str, list[ParquetFile]] = {}
    for file in by_time:
        active = [other for other in active if other.max_ns >= file.min_ns]
        own = of[file.path] = [file]
        for other in active:
            joining = of[other.path]
            if joining is not own and _overlaps_much(other, file):
                own += joining
                of.update((member.path, own) for member in joining)
        active.append(file)
    components = {id(group): group for group in of.values()}
    yield from ({file.path for file in group} for group in components.values() if len(group) > 1)


def _overlaps_much(a: ParquetFile, b: ParquetFile) -> bool:
    shared = min(a.max_ns, b.max_ns) - max(a.min_ns, b.min_ns) + 1
    shorter = min(a.max_ns - a.min_ns, b.max_ns - b.min_ns) + 1
    return shared > _SLIVER * shorter


def _after(high: _Integers) -> _Integers:
    """Return the next times, but for the last time that there is."""
    return np.minimum(high, np.iinfo(np.int64).max - 1) + 1


def _lengths(low: _Integers, high: _Integers) -> npt.NDArray[np.float64]:
    """Return how many nanoseconds there are; a span may be longer than an int64 can tell."""
    return (high - low).view(np.uint64).astype(np.float64) + 1.0
