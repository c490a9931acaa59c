from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from engine.environments.environment import BrokenEnvironment
from engine.environments.runtime import runtime_folder
from engine.environments.standing import StandingEnvironment
from engine.model.lock import SHARED


def test_processes_are_outdated_by_changes_after_their_start_only(tmp_path: Path) -> None:
    standing = StandingEnvironment(
        tmp_path / ".venv", partial(runtime_folder, tmp_path / "runtime")
    )
    standing.note_changed()
    before = standing.watch(SHARED)

    assert not before()
    standing.note_changed()
    assert before()
    assert not standing.watch(SHARED)()


def test_a_broken_environment_is_told_at_once_to_those_who_ask_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = StandingEnvironment(
        tmp_path / ".venv", partial(runtime_folder, tmp_path / "runtime")
    )
    link = tmp_path / ".venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    calls, python = tmp_path / "calls", tmp_path / "python"
    link.symlink_to(python)
    python.write_text(f"#!/bin/sh\necho x >> {calls}\nexit 3\n")
    python.chmod(0o755)

    for _ in range(3):
        with pytest.raises(BrokenEnvironment, match="does not run"):
            standing.of(SHARED)

    assert calls.read_text() == "x\n"

    later_s = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    with pytest.raises(BrokenEnvironment):
        standing.of(SHARED)

    assert calls.read_text() == "x\nx\n"
