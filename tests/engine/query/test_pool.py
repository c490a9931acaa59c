from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from concurrent.futures import CancelledError

import pytest

from engine.query.pool import DaemonPool

_ENDLESS = """
import threading
from engine.query.pool import DaemonPool
begun = threading.Event()
pool = DaemonPool(1, "query")
pool.submit(lambda: begun.set() or threading.Event().wait())
begun.wait()
pool.stop()
"""


def test_a_call_that_never_returns_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", _ENDLESS], timeout=20, check=False)

    assert ended.returncode == 0


def test_results_and_errors_arrive_in_their_futures() -> None:
    pool: DaemonPool[int] = DaemonPool(1, "query")

    fine, bad = pool.submit(lambda: 7), pool.submit(lambda: 1 // 0)

    assert fine.result(5) == 7
    assert isinstance(bad.exception(5), ZeroDivisionError)
    pool.stop()


def test_stop_cancels_what_waits() -> None:
    go = threading.Event()
    pool: DaemonPool[bool] = DaemonPool(1, "query")
    running, waiting = pool.submit(lambda: go.wait(10)), pool.submit(lambda: True)
    while not running.running():
        assert not running.done()

    pool.stop()
    go.set()

    with pytest.raises(CancelledError):
        waiting.result(5)
    assert running.result(5) is True


def test_an_idle_thread_holds_no_result() -> None:
    pool: DaemonPool[set[int]] = DaemonPool(1, "query")
    future = pool.submit(lambda: {1})
    result = weakref.ref(future.result(5))
    pool.submit(set).result(5)

    del future

    assert result() is None
    pool.stop()
