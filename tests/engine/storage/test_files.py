from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.storage.files import Files


def made(root: Path, *paths: str) -> list[Path]:
    files = [root / path for path in paths]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return files


def test_a_discarded_file_goes_at_once_when_nobody_reads_it(tmp_path: Path) -> None:
    a, b = made(tmp_path, "parquet/a", "parquet/b")

    Files(tmp_path).discard(["parquet/a"])

    assert (a.exists(), b.exists()) == (False, True)


def test_a_discarded_file_stays_until_its_last_reader_has_gone(tmp_path: Path) -> None:
    (file,) = made(tmp_path, "parquet/a")
    files = Files(tmp_path)

    with files.pin(["parquet/a"]):
        with files.pin(["parquet/a"]):
            files.discard(["parquet/a"])
            assert file.exists()
        assert file.exists()

    assert not file.exists()
    assert repr(files).endswith("0 read, 0 leave>")


def test_a_file_that_was_read_and_not_discarded_stays(tmp_path: Path) -> None:
    (file,) = made(tmp_path, "parquet/a")
    files = Files(tmp_path)

    with files.pin(["parquet/a"]):
        pass

    assert file.exists()
    assert repr(files) == f"<Files in {tmp_path}: 0 read, 0 leave>"


def test_a_reader_that_fails_lets_its_files_go(tmp_path: Path) -> None:
    (file,) = made(tmp_path, "parquet/a")
    files = Files(tmp_path)

    def read() -> None:
        with files.pin(["parquet/a"]):
            files.discard(["parquet/a"])
            raise ValueError("no rows")

    with pytest.raises(ValueError, match="no rows"):
        read()
    assert not file.exists()


def test_discarding_what_is_gone_is_no_error(tmp_path: Path) -> None:
    Files(tmp_path).discard(["parquet/none"])


def test_the_sweep_removes_what_a_crash_left_and_nothing_else(tmp_path: Path) -> None:
    known, *others = made(
        tmp_path,
        "parquet/1/2/2024-01-01/known.parquet",
        "parquet/1/2/2024-01-01/.unfinished-a.parquet",
        "parquet/1/3/2024-01-01/unknown.parquet",
    )
    (log,) = made(tmp_path, "wal/segment")

    removed = Files(tmp_path).sweep({"parquet/1/2/2024-01-01/known.parquet"})

    assert removed == 2
    assert known.exists()
    assert log.exists()
    assert not any(other.exists() for other in others)
    assert not (tmp_path / "parquet/1/3").exists()


def test_the_sweep_of_an_empty_folder_removes_nothing(tmp_path: Path) -> None:
    assert Files(tmp_path).sweep(()) == 0


def test_readers_beside_discards_always_find_their_file(tmp_path: Path) -> None:
    paths = [f"parquet/{number}" for number in range(300)]
    made(tmp_path, *paths)
    files = Files(tmp_path)
    pinned = [threading.Event() for _ in paths]
    lost: list[str] = []

    def read() -> None:
        for path, is_pinned in zip(paths, pinned, strict=True):
            with files.pin([path]):
                is_pinned.set()
                if not (tmp_path / path).exists():
                    lost.append(path)

    reader = threading.Thread(target=read)
    reader.start()
    for path, is_pinned in zip(paths, pinned, strict=True):
        is_pinned.wait(10)
        files.discard([path])
    reader.join()

    assert [p for p in paths if (tmp_path / p).exists()] == []
    assert repr(files).endswith("0 read, 0 leave>")
