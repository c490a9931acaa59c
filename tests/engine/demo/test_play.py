"""The demonstration as a process of its own: it keeps its promises and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.serving import eventually

SHORT = (
    "import sys; from engine.demo import run; from engine.demo.scenario import Scenario;"
    "sys.exit(run(scenario=Scenario(duration_s=6.0, crash_at=5)))"
)


def start(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Start a demonstration that keeps its temporary files in a folder."""
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


@pytest.mark.slow
def test_the_demonstration_keeps_its_promises(tmp_path: Path) -> None:
    process = start(tmp_path, "-c", SHORT)

    output, _ = process.communicate(timeout=55)

    assert process.returncode == 0, output
    assert "SIGSEGV" in output
    assert "BROKEN" not in output
    assert ", sandbox: level" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_keeps_them_without_bubblewrap_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKHEAD_BWRAP", str(tmp_path / "none"))
    process = start(tmp_path, "-c", SHORT)

    output, _ = process.communicate(timeout=55)

    assert process.returncode == 0, output
    assert re.search(r", sandbox: (level [BC]|best-effort)", output), output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_trace(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "-m", "engine", "demo")
    server = eventually(lambda: psutil.Process(process.pid).children(), within_s=30)[0]

    process.send_signal(number)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 130, output
    assert not psutil.pid_exists(server.pid)
    assert list(tmp_path.iterdir()) == []
