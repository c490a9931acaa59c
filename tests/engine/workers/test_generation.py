"""The end of a process that several lanes share."""

from __future__ import annotations

import os
import select
from pathlib import Path

from engine.plugins.source import Source
from engine.workers.generation import Generation
from engine.workers.process import WorkerProcess
from tests.unconfined import unconfined

LEAVES_A_CHILD_IN_ITS_GROUP = """\
import os, signal
if os.fork() == 0:
    while True:
        signal.pause()
"""


def test_what_a_process_left_in_its_group_ends_although_the_process_ended_by_itself(
    tmp_path: Path,
) -> None:
    (tmp_path / "__main__.py").write_text(LEAVES_A_CHILD_IN_ITS_GROUP)
    process = WorkerProcess(unconfined(tmp_path), "test")
    assert process.has_ended(10.0)
    printing_end = os.dup(process.output)  # the child holds the other end until it is gone

    generation = Generation(process, tmp_path / "none", 1, lambda: False)
    generation.leave()

    poll = select.poll()
    poll.register(printing_end, select.POLLIN)
    is_gone = bool(poll.poll(5000)) and os.read(printing_end, 1) == b""
    os.close(printing_end)
    assert is_gone
    assert not generation.was_stopped


def test_all_lanes_of_a_process_run_one_version_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("")
    process = WorkerProcess(unconfined(tmp_path), "test")
    generation = Generation(process, tmp_path / "none", 2, lambda: False)
    old, new = (Source("p", None, "/p", version) for version in ("1", "2"))
    file = Source("p.py", "x = 1", None, "3")

    adopted = [generation.adopt(source) for source in (old, new, old, file)]
    generation.leave()
    generation.leave()

    assert adopted == [True, False, True, True]


def test_a_process_whose_packages_are_outdated_runs_no_newer_code(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("")
    process = WorkerProcess(unconfined(tmp_path), "test")
    is_outdated = False
    generation = Generation(process, tmp_path / "none", 2, lambda: is_outdated)
    old, new = (Source("p.py", "x = 1", None, version) for version in ("1", "2"))

    before = [generation.fitting(source, may_leave=False) for source in (old, new, old)]
    is_outdated = True
    after = [generation.fitting(new, may_leave=may_leave) for may_leave in (False, True)]
    generation.leave()
    generation.leave()

    assert before == [old, new, old]
    assert after == [old, None]


def test_a_process_whose_packages_are_outdated_begins_with_no_code(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("")
    process = WorkerProcess(unconfined(tmp_path), "test")
    generation = Generation(process, tmp_path / "none", 1, lambda: True)
    new = Source("p.py", "x = 1", None, "1")

    fitting = [generation.fitting(new, may_leave=may_leave) for may_leave in (False, True)]
    generation.leave()

    assert fitting == [None, None]
