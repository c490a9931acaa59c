"""The caches of dry runs: by name, in memory, apart from those of triggers.

A name stands for two namespaces: a global one, and one in place of a trigger's own. Both are kept
from one dry run to the next, so that a plugin's second run can be tested. A value without a ttl
lives for half an hour. Of too many names the one that was not used for the longest goes.

`_lock` guards all fields; dry runs of one name may run side by side. Any thread may call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.cache import CachedValue, GlobalCache, Mirror
from engine.clock import Clock

__all__ = ["DryCache", "DryCaches", "SharedDryValues"]

_TTL_S = 30 * 60.0
_TTL_NS = 30 * 60 * 1_000_000_000
_MAX_NAMES = 16
_MAX_NAMESPACE_BYTES = 8 * 1024 * 1024


class SharedDryValues:
    """A global namespace in which nothing lives for ever."""

    def __init__(self, clock: Clock) -> None:
        self._values = GlobalCache(clock, _MAX_NAMESPACE_BYTES)

    def put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Store a value.

        Raises:
            CacheFull: the namespace would exceed its limit.
        """
        self._values.put(key, value, _TTL_S if ttl_s is None else ttl_s)

    def get(self, key: str) -> bytes | None:
        """Return what is stored, or None."""
        return self._values.get(key)

    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        return self._values.delete(key)


@dataclass(frozen=True, slots=True)
class DryCache:
    """What one dry run works with.

    Args:
        shared: the global namespace of its name.
        own: a copy of the other one, for its worker.
        given: what that copy held at first.
    """

    shared: SharedDryValues
    own: Mirror
    given: Mapping[str, CachedValue]


@dataclass(slots=True)
class _Kept:
    shared: SharedDryValues
    own: dict[str, CachedValue] = field(default_factory=dict)


class DryCaches:
    """The caches of all names."""

    def __init__(self, clock: Clock, max_names: int = _MAX_NAMES) -> None:
        self._clock = clock
        self._max_names = max_names
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def open(self, name: str) -> DryCache:
        """Return the caches of a name, for one run."""
        with self._lock:
            kept = self._kept.setdefault(name, _Kept(SharedDryValues(self._clock)))
            self._kept.move_to_end(name)
            while len(self._kept) > self._max_names:
                self._kept.popitem(last=False)
            given = dict(kept.own)
        own = Mirror(_MAX_NAMESPACE_BYTES)
        for key, cached in given.items():
            own.store(key, cached.value, cached.expires_ns)
        return DryCache(kept.shared, own, given)

    def keep(self, name: str, used: DryCache) -> None:
        """Keep what a run has changed; what it left alone may have changed meanwhile."""
        now_ns = self._clock.now_ns()
        left = dict(used.own.unexpired(now_ns))
        with self._lock:
            if name not in self._kept:
                return
            own = self._kept[name].own
            for key in used.given.keys() - left.keys():
                own.pop(key, None)
            for key, cached in left.items():
                if used.given.get(key) != cached:
                    own[key] = _bounded(cached, now_ns)


def _bounded(cached: CachedValue, now_ns: int) -> CachedValue:
    if cached.expires_ns is not None:
        return cached
    return CachedValue(cached.value, now_ns + _TTL_NS)
