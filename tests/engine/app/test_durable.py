"""What outlives the process is let go only when nobody writes to it any more."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.app.durable import DurableState
from engine.config import Config
from engine.errors import LogInUse
from engine.model.entry import Client, WriteEntry
from engine.service import Service
from engine.upkeep.recovery import recover


def test_log_is_not_closed_while_the_disk_keeps_the_committer_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(node_id="node0", data_dir=str(tmp_path), plugin_dir=str(tmp_path / "plugins"))
    closing = ExitStack()
    state = DurableState(config, lambda *_: None, closing)
    state.start()
    reached, opened, tried = threading.Event(), threading.Event(), threading.Semaphore(0)
    real_sync, real_stop = os.fdatasync, Service.stop

    def sync(descriptor: int) -> None:
        reached.set()
        assert opened.wait(10)
        real_sync(descriptor)

    def stop(service: Service, timeout_s: float = 0.01) -> bool:
        tried.release()
        return real_stop(service, timeout_s)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(Service, "stop", stop)
    waiting = state.committer.submit(WriteEntry(Client(), 1, (), None, ()))
    assert reached.wait(10)
    closer = threading.Thread(target=closing.close)
    closer.start()
    for _ in range(4):
        assert tried.acquire(timeout=10)

    with pytest.raises(LogInUse):
        recover(tmp_path / "node0", config.wal)
    opened.set()
    closer.join(10)
    assert waiting.result(0) == 2
    recover(tmp_path / "node0", config.wal).log.close()
