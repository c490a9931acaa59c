"""The commands that look at a log and repair it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.main import main
from engine.wal.log import Log
from tests.engine.wal.samples import filled, loads, run, segments, write


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "node0" / "wal"
    filled(directory, [[1.0], [2.0, 3.0]], segment_bytes=1)  # entries 2 and 4-5
    log = Log.open(directory)
    log.append([run(7, 4)])
    log.close()
    return directory


def wal(directory: Path, *words: str) -> int:
    data_dir = str(directory.parent.parent)
    return main(["wal", *words, "--data-dir", data_dir, "--node-id", "node0"])


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def test_inspect_shows_segments_and_triggers(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = wal(directory, "inspect")

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [line.split()[:2] for line in lines[:3]] == [["first", "end"], ["1", "3"], ["3", "7"]]
    assert lines[3] == "trigger #7: done below entry 4"


def test_verify_of_a_good_log_tells_what_it_read(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wal(directory, "verify") == 0
    assert capsys.readouterr().out == "2 segments, 5 records and 3 rows are good.\n"


def test_verify_names_file_offset_and_entry_of_the_damage(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = segments(directory)[0]
    damage(path)

    status = wal(directory, "verify")

    told = capsys.readouterr()
    assert status == 1
    assert told.out.startswith(f"{path} at byte ")
    assert ", entry 2: the record's payload is damaged" in told.out
    assert "is damaged in one place. Restore it from a backup" in told.err


def test_unfinished_last_write_is_no_failure(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = segments(directory)[-1]
    path.write_bytes(path.read_bytes() + b"torn")

    assert wal(directory, "verify") == 0
    assert "the next start of the server cuts off" in capsys.readouterr().out


def test_repair_tells_the_loss_and_changes_nothing_without_consent(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(segments(directory)[0])
    before = {path: path.read_bytes() for path in directory.iterdir()}

    status = wal(directory, "repair")

    assert status == 1
    assert "means to lose up to 5 entries, from 2 to 6" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_repair_with_consent_leaves_a_log_that_opens(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(segments(directory)[0])

    status = wal(directory, "repair", "--drop-from-damage")

    assert status == 0
    assert "Gave up up to" not in capsys.readouterr().out
    log = Log.open(directory)
    assert loads(log) == []
    assert log.append([write(9.0)]) == 8
    log.close()
    assert wal(directory, "verify") == 0


def test_repair_refuses_while_a_server_has_the_log(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log.open(directory)

    status = wal(directory, "repair", "--drop-from-damage")

    log.close()
    assert status == 1
    assert "is in use by another server" in capsys.readouterr().err


def test_folder_without_a_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wal(tmp_path / "node0" / "wal", "inspect") == 1
    assert f"there is no log in {tmp_path / 'node0' / 'wal'}" in capsys.readouterr().err
