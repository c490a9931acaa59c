"""What the supervisor keeps of plugin caches: the global namespace and the mirrors.

The global namespace holds packed plain data, never live objects. A mirror holds the values of
one trigger's own namespace as opaque bytes that only ever go back to the same trigger's next
worker; they are never decoded here. Nothing outlives the server. Any thread may call.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import UserError

__all__ = ["CacheFull", "CachedValue", "GlobalCache", "Mirror"]


class CacheFull(UserError):
    """A cache namespace has reached its size limit."""

    code = "cache_full"


_MAX_LIVE_NAMES = 1000
_MAX_LIVE_CHARACTERS = 1024
_ENTRY_BYTES = 200  # of a key beside its text and value: slot, string and value objects


@dataclass(frozen=True, slots=True)
class CachedValue:
    """Packed bytes and the wall-clock time at which they expire (None: never)."""

    value: bytes
    expires_ns: int | None


class GlobalCache:
    """The namespace that all triggers share; one lock guards it."""

    def __init__(self, clock: Clock, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: dict[str, CachedValue] = {}
        self._bytes = 0

    def put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Store a value, replacing value and expiry of the key.

        Raises:
            CacheFull: the namespace would exceed its limit; the old value is kept.
        """
        expires_ns = None if ttl_s is None else self._clock.now_ns() + round(ttl_s * 1e9)
        with self._lock:
            self._make_room(key, len(value))
            self._remove(key)
            self._values[key] = CachedValue(value, expires_ns)
            self._bytes += _size(key, value)

    def get(self, key: str) -> bytes | None:
        """Return the stored bytes, or None when there are none or they have expired."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            if _is_expired(found, self._clock.now_ns()):
                self._remove(key)
                return None
            return found.value

    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        with self._lock:
            return self._remove(key)

    def _make_room(self, key: str, size: int) -> None:
        if self._fits(key, size):
            return
        now_ns = self._clock.now_ns()
        for name in [k for k, v in self._values.items() if _is_expired(v, now_ns)]:
            self._remove(name)
        if not self._fits(key, size):
            raise CacheFull(
                f"the global cache is full ({self._max_bytes} bytes); delete keys or give a ttl"
            )

    def _fits(self, key: str, size: int) -> bool:
        old = self._values.get(key)
        freed = _size(key, old.value) if old is not None else 0
        return self._bytes - freed + _ENTRY_BYTES + _key_bytes(key) + size <= self._max_bytes

    def _remove(self, key: str) -> bool:
        old = self._values.pop(key, None)
        if old is None:
            return False
        self._bytes -= _size(key, old.value)
        return True


class Mirror:
    """One trigger's own namespace; `_lock` guards all fields, since its lanes share it.

    `_live` names the keys whose values exist only inside the worker.
    """

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: dict[str, CachedValue] = {}
        self._bytes = 0
        self._live: set[str] = set()

    def store(self, key: str, value: bytes, expires_ns: int | None) -> None:
        """Keep a value's bytes; beyond the limit the key is only noted as live."""
        with self._lock:
            self._drop(key)
            if self._bytes + _size(key, value) > self._max_bytes:
                self._add_live(key)
                return
            self._values[key] = CachedValue(value, expires_ns)
            self._bytes += _size(key, value)

    def note_live(self, key: str) -> None:
        """Note that a key's value cannot be mirrored."""
        with self._lock:
            self._drop(key)
            self._add_live(key)

    def forget(self, key: str) -> None:
        """Drop a key."""
        with self._lock:
            self._drop(key)

    def follow(self, key: str, value: bytes | None, expires_ns: int | None, state: str) -> None:
        """Do what a worker tells of its own cache: `stored`, `deleted`, or `live` there only."""
        if state == "stored" and value is not None:
            self.store(key, value, expires_ns)
        elif state == "deleted":
            self.forget(key)
        else:
            self.note_live(key)

    def take_lost(self) -> list[str]:
        """Return and forget the keys that died with the worker, sorted."""
        with self._lock:
            lost = sorted(self._live)
            self._live.clear()
            return lost

    def unexpired(self, now_ns: int) -> list[tuple[str, CachedValue]]:
        """Return what a new worker gets back."""
        with self._lock:
            return [(k, v) for k, v in self._values.items() if not _is_expired(v, now_ns)]

    def _add_live(self, key: str) -> None:
        # Their names only serve a warning: beyond a number nobody would read them.
        if len(self._live) < _MAX_LIVE_NAMES:
            self._live.add(key[:_MAX_LIVE_CHARACTERS])

    def _drop(self, key: str) -> None:
        self._live.discard(key[:_MAX_LIVE_CHARACTERS])
        old = self._values.pop(key, None)
        if old is not None:
            self._bytes -= _size(key, old.value)


def _size(key: str, value: bytes) -> int:
    return _ENTRY_BYTES + _key_bytes(key) + len(value)


def _key_bytes(key: str) -> int:
    return len(key) if key.isascii() else 4 * len(key)  # at most, as Python holds it


def _is_expired(value: CachedValue, now_ns: int) -> bool:
    return value.expires_ns is not None and value.expires_ns <= now_ns
