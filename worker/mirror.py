"""Copies of a trigger's own cache for the engine, made after each run.

Of the keys that were put, got or deleted since, those whose pickle differs from what the engine
holds are sent. A value that cannot be pickled, or whose pickle is too large, stays in this process
only, and the engine is told so. Instances of classes of a single-file plugin are such values: the
class cannot be found by name. Called after the run's result has been sent, so that no run waits.

One `Mirrors` serves all lanes of a process; its lock guards its fields and orders the copies.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable

from worker.cache import Entry, Namespace
from worker.wire import LocalWireError, encode
from worker.wire.messages import Mirror

__all__ = ["Mirrors"]

_LIVE = (0, 0)
Print = tuple[int, int]


class Mirrors:
    """Knows what the engine holds of a namespace."""

    def __init__(self, namespace: Namespace, max_bytes: int) -> None:
        self._namespace = namespace
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Print, int | None]] = {}

    def note_restored(self, key: str, packed: bytes, expires_ns: int | None) -> None:
        """Remember that the engine holds a value which it has just given back."""
        self._held[key] = (_print_of(packed), expires_ns)

    def send(self, send: Callable[[Mirror], None]) -> None:
        """Send copies of those touched keys that the engine does not hold as they are now."""
        with self._lock:
            for key in self._namespace.take_touched():
                mirror = self._mirror(key)
                if mirror is not None and _fits(mirror):
                    send(mirror)

    def _mirror(self, key: str) -> Mirror | None:
        with self._namespace.lock:
            entry = self._namespace.entries.get(key)
            if entry is None:
                return self._deleted(key)
            if entry.is_packed:
                return None
            packed = self._pickle(entry)
            expires_ns = entry.expires_ns
        state = (_LIVE if packed is None else _print_of(packed), expires_ns)
        if self._held.get(key) == state:
            return None
        self._held[key] = state
        if packed is None:
            return Mirror(key, None, expires_ns, "live")
        return Mirror(key, packed, expires_ns, "stored")

    def _deleted(self, key: str) -> Mirror | None:
        if self._held.pop(key, None) is None:
            return None
        return Mirror(key, None, None, "deleted")

    def _pickle(self, entry: Entry) -> bytes | None:
        target = _BoundedBytes(self._max_bytes)
        try:
            pickle.Pickler(target, pickle.HIGHEST_PROTOCOL).dump(entry.value)
        except Exception:  # noqa: BLE001 - it runs code of the plugin
            return None
        return bytes(target.written)


class _BoundedBytes:
    """Takes what a pickler writes and ends it early when it is too much."""

    def __init__(self, max_bytes: int) -> None:
        self.written = bytearray()
        self._max_bytes = max_bytes

    def write(self, part: bytes | memoryview) -> int:
        if len(self.written) + len(part) > self._max_bytes:
            raise OverflowError
        self.written += part
        return len(part)


def _print_of(packed: bytes) -> Print:
    return (len(packed), hash(packed))


def _fits(mirror: Mirror) -> bool:
    """Whether the key is Unicode at all."""
    try:
        encode(Mirror(mirror.key, None, None, "deleted"))
    except LocalWireError:
        return False
    return True
