"""The cache of a plugin: its trigger's own namespace, and the way to the global one.

Own values are live objects in this process: `get` returns what was `put`, the same object. The
engine holds a copy of those that can be pickled, so that a new worker of the trigger gets them
back: see `worker.mirror`. The global namespace is in the engine and takes plain data only.

`Namespace` belongs to the process; its lock guards all its fields. A `Cache` belongs to one run;
threads of the plugin may use it at any time. Keys that were put, got or deleted are noted.
"""

from __future__ import annotations

import math
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from worker.plain import pack_plain, unpack_plain
from worker.wire import messages as m

__all__ = ["Cache", "Entry", "Namespace"]

_SWEEP_PERIOD_S = 10.0
_LONGEST_TTL_S = 2.0**64
_NS_PER_S = 1_000_000_000

Call = Callable[[m.Message], m.Message]
Warn = Callable[[str], None]


class Entry:
    """A value, or the bytes of one that nobody has asked for yet."""

    __slots__ = ("expires_ns", "is_packed", "value")

    def __init__(self, value: Any, expires_ns: int | None, *, is_packed: bool = False) -> None:  # noqa: ANN401 - anything
        self.value = value
        self.expires_ns = expires_ns
        self.is_packed = is_packed


class Namespace:
    """A trigger's own values."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.lock = threading.RLock()
        self.entries: dict[str, Entry] = {}
        self.touched: set[str] = set()
        self.now_ns = now_ns
        self._swept_ns = 0

    def restore(self, key: str, packed: bytes, expires_ns: int | None) -> None:
        """Take back a value of an earlier worker; it is unpickled when a plugin asks for it."""
        with self.lock:
            self.entries[key] = Entry(packed, expires_ns, is_packed=True)

    def take_touched(self) -> set[str]:
        """Return the keys noted since the last time, and begin anew."""
        with self.lock:
            touched, self.touched = self.touched, set()
        return touched

    def sweep(self) -> None:
        """Drop what has expired, at most once in ten seconds."""
        now_ns = self.now_ns()
        if now_ns - self._swept_ns < _SWEEP_PERIOD_S * _NS_PER_S:
            return
        with self.lock:
            self._swept_ns = now_ns
            for key, entry in list(self.entries.items()):
                if entry.expires_ns is not None and entry.expires_ns <= now_ns:
                    del self.entries[key]
                    self.touched.add(key)


class Cache:
    """`influxdb3_local.cache` of one run."""

    __slots__ = ("_call", "_entries", "_namespace", "_warn")

    def __init__(self, namespace: Namespace, call: Call, warn: Warn) -> None:
        self._namespace = namespace
        self._entries = namespace.entries
        self._call = call
        self._warn = warn

    def put(
        self,
        key: str,
        value: Any,  # noqa: ANN401 - anything
        ttl: float | None = None,
        use_global: bool | None = None,  # noqa: FBT001 - Core's signature
    ) -> None:
        """Store a value, for `ttl` seconds when given."""
        _check_key(key)
        ttl_s = None if ttl is None else _check_ttl(ttl)
        if use_global:
            self._ask(m.CachePutCall(key, pack_plain(value), ttl_s))
            return
        expires_ns = None
        if ttl_s is not None:
            expires_ns = self._namespace.now_ns() + int(ttl_s * _NS_PER_S)
            if expires_ns >= 1 << 63:
                expires_ns = None  # beyond the year 2262
        with self._namespace.lock:
            self._entries[key] = Entry(value, expires_ns)
            self._namespace.touched.add(key)

    def get(
        self,
        key: str,
        default: Any = None,  # noqa: ANN401 - anything
        use_global: bool | None = None,  # noqa: FBT001 - Core's signature
    ) -> Any:  # noqa: ANN401 - what was put
        """Return the stored object, or the default."""
        if use_global:
            _check_key(key)
            return self._get_global(key, default)
        if type(key) is not str:
            _check_key(key)
        entry = self._entries.get(key)
        if entry is None:
            return default
        if entry.expires_ns is not None and entry.expires_ns <= self._namespace.now_ns():
            self._drop(key, entry)
            return default
        if entry.is_packed and not self._unpack(key, entry):
            return default
        self._namespace.touched.add(key)
        return entry.value

    def delete(self, key: str, use_global: bool | None = None) -> bool:  # noqa: FBT001 - Core's signature
        """Delete a value; return whether there was one."""
        _check_key(key)
        if use_global:
            return self._expect_cached(self._ask(m.CacheDeleteCall(key))).found
        with self._namespace.lock:
            self._namespace.touched.add(key)
            return self._entries.pop(key, None) is not None

    def _drop(self, key: str, entry: Entry) -> None:
        with self._namespace.lock:
            if self._entries.get(key) is entry:
                del self._entries[key]
                self._namespace.touched.add(key)

    def _unpack(self, key: str, entry: Entry) -> bool:
        """Bring a restored value to life; one that cannot be is missing from then on."""
        with self._namespace.lock:
            if not entry.is_packed:
                return True
            try:
                # These bytes were pickled by an earlier worker of this very trigger.
                entry.value = pickle.loads(entry.value)  # noqa: S301
            except Exception as error:  # noqa: BLE001 - it runs code of the plugin
                self._warn(f"cache key {key!r} could not be restored: {error!r}")
                self._drop(key, entry)
                return False
            entry.is_packed = False
            return True

    def _get_global(self, key: str, default: object) -> object:
        reply = self._expect_cached(self._ask(m.CacheGetCall(key)))
        if not reply.found or reply.value is None:
            return default
        return unpack_plain(reply.value)

    def _ask(self, message: m.Message) -> m.Message:
        reply = self._call(message)
        if type(reply) is m.FaultReply:
            raise RuntimeError(reply.fault.message)
        return reply

    @staticmethod
    def _expect_cached(reply: m.Message) -> m.CacheReply:
        if not isinstance(reply, m.CacheReply):
            raise TypeError(f"the cache call was answered with {type(reply).__name__}")
        return reply


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(
            f"argument 'key': '{type(key).__name__}' object is not an instance of 'str'"
        )


def _check_ttl(ttl: float) -> float:
    try:
        seconds = math.fsum([ttl])  # unlike float, takes no text
    except TypeError as error:
        raise TypeError(f"argument 'ttl': {error}") from None
    if seconds < 0:
        raise ValueError("cannot convert float seconds to Duration: value is negative")
    if not seconds < _LONGEST_TTL_S:
        raise ValueError("cannot convert float seconds to Duration: value is either too big or NaN")
    return seconds
