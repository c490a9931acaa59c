"""What a plugin's own cache costs: get and put of a key of the trigger's namespace.

    python tests/bench/bench_cache.py

Targets: get <= 2 us, put >= 100 000 per second. The best of several rounds is printed, since the
machine has other work.
"""

from __future__ import annotations

import sys
import time
import timeit
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from worker.cache import Cache, Namespace
from worker.wire import messages as m

OPERATIONS = 200_000
ROUNDS = 5


def refuse(call: m.Message) -> m.Message:
    """Fail on any call to the engine: own keys must not need one."""
    raise AssertionError(call)


def main() -> None:
    """Measure and print."""
    namespace = Namespace(time.time_ns)
    cache = Cache(namespace, refuse, print)
    value = {"count": 1}
    cache.put("plain", value)
    cache.put("with ttl", value, 3600)
    operations = {
        "get": lambda: cache.get("plain"),
        "get, key has a ttl": lambda: cache.get("with ttl"),
        "get, missing key": lambda: cache.get("missing", default=0),
        "put": lambda: cache.put("plain", value),
        "put with ttl": lambda: cache.put("with ttl", value, 3600),
        "dict in the same loop": lambda: namespace.entries.get("plain"),
    }
    for name, operation in operations.items():
        best_s = min(timeit.repeat(operation, number=OPERATIONS, repeat=ROUNDS)) / OPERATIONS
        print(f"{name:22} {best_s * 1e6:6.3f} us {1 / best_s:12,.0f} per second")


if __name__ == "__main__":
    main()
