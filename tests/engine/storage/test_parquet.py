"""Files on a real disk: what is written comes back, and damage never passes for rows."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import faultpoint
from engine.errors import DamagedFile, DiskFailed
from engine.model.file import ParquetFile
from engine.model.schema import ColumnType
from engine.storage.parquet import check_file, new_path, read_file, write_file

TAGS = ("host", "region")
TYPES = {
    "host": ColumnType.TAG,
    "region": ColumnType.TAG,
    "usage": ColumnType.FLOAT,
    "count": ColumnType.UINTEGER,
    "total": ColumnType.INTEGER,
    "note": ColumnType.STRING,
    "up": ColumnType.BOOLEAN,
    "time": ColumnType.TIME,
}
ODD_NS = 1_700_000_000_123_456_789
FULL: dict[str, object] = {
    "host": "a",
    "region": "eu",
    "usage": 0.1,
    "count": 2**64 - 1,
    "total": -(2**63),
    "note": "häß\n",
    "up": True,
    "time": ODD_NS,
}


def batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    names = [n for n in TYPES if any(n in row for row in rows)]
    schema = pa.schema([pa.field(n, TYPES[n].arrow) for n in names])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def plain(table: pa.Table) -> list[dict[str, object]]:
    time = table["time"].cast(pa.int64())
    return table.set_column(table.schema.get_field_index("time"), "time", time).to_pylist()


def written(root: Path, rows: list[dict[str, object]], order: int = 7) -> ParquetFile:
    path = new_path(1, 2, min(int(str(row["time"])) for row in rows), order)
    return write_file(batch(rows), TAGS, root, path, order)


@pytest.fixture
def failing() -> Iterator[list[str]]:
    """Places at which the disk fails from now on."""
    places: list[str] = []

    def fail(place: str) -> None:
        if place in places:
            raise OSError(errno.ENOSPC, "No space left on device")

    faultpoint.arm(fail)
    yield places
    faultpoint.arm(lambda _place: None)


def test_every_type_comes_back_as_it_was(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL])

    assert plain(read_file(tmp_path, file)) == [dict(sorted(FULL.items()))]
    assert (file.rows, file.min_ns, file.max_ns, file.order) == (1, ODD_NS, ODD_NS, 7)
    assert file.size_bytes == (tmp_path / file.path).stat().st_size
    assert file.path.startswith("parquet/1/2/2023-11-14/00000000000000000007-")
    check_file(tmp_path, file)


def test_points_are_unique_and_sorted_by_tags_then_time(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"host": "b", "usage": 1.0, "time": 1},
        {"host": "a", "region": "us", "usage": 2.0, "time": 2},
        {"host": "a", "region": "eu", "usage": 3.0, "time": 3},
        {"usage": 4.0, "time": 9},
        {"host": "a", "region": "eu", "usage": 5.0, "time": 1},
        {"host": "a", "region": "eu", "note": "late", "time": 3},
    ]
    file = written(tmp_path, rows)

    found = plain(read_file(tmp_path, file))
    order = [(row["host"], row["region"], row["time"], row["usage"]) for row in found]
    assert order == [
        (None, None, 9, 4.0),
        ("a", "eu", 1, 5.0),
        ("a", "eu", 3, 3.0),
        ("a", "us", 2, 2.0),
        ("b", None, 1, 1.0),
    ]
    assert found[2]["note"] == "late"
    assert (file.rows, file.min_ns, file.max_ns) == (5, 1, 9)


def test_columns_may_be_read_alone(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL])

    assert read_file(tmp_path, file, ["count"]).to_pydict() == {"count": [2**64 - 1]}


def test_a_time_before_1970_has_its_day(tmp_path: Path) -> None:
    file = written(tmp_path, [{"usage": 1.0, "time": -1}])

    assert "/1969-12-31/" in file.path
    assert plain(read_file(tmp_path, file)) == [{"time": -1, "usage": 1.0}]


def test_large_files_have_row_groups_with_statistics_and_own_tag_values(tmp_path: Path) -> None:
    count = 300_000
    hosts = pa.array([f"h{number:06}" for number in range(count)])
    rows = pa.RecordBatch.from_arrays(
        [hosts.dictionary_encode(), pa.array(range(count), pa.timestamp("ns"))],
        names=["host", "time"],
    )
    file = write_file(rows, ("host",), tmp_path, "parquet/x.parquet", 1)

    found = pq.ParquetFile(tmp_path / file.path).metadata
    assert found.num_row_groups == 3
    second = found.row_group(1).column(0)
    assert (second.statistics.min, second.compression) == ("h131072", "ZSTD")
    assert second.total_compressed_size < 600_000  # of its own values, not of all
    assert second.has_column_index
    assert set(found.row_group(1).column(1).encodings) == {"PLAIN", "RLE"}


def test_duckdb_reads_nanoseconds_and_unsigned_integers(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL, {**FULL, "host": None, "time": ODD_NS + 1}])

    sql = "SELECT host, count, note, epoch_ns(time) FROM read_parquet(?) ORDER BY time"
    found = duckdb.connect().execute(sql, [str(tmp_path / file.path)]).fetchall()
    assert found == [("a", 2**64 - 1, "häß\n", ODD_NS), (None, 2**64 - 1, "häß\n", ODD_NS + 1)]


def test_polars_reads_nanoseconds_and_unsigned_integers(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL])

    frame = pl.read_parquet(tmp_path / file.path)
    assert frame.schema["time"] == pl.Datetime("ns")
    assert frame.schema["count"] == pl.UInt64
    assert frame["time"].to_physical().to_list() == [ODD_NS]
    assert frame["count"].to_list() == [2**64 - 1]
    assert frame["host"].cast(pl.String).to_list() == ["a"]


@pytest.mark.parametrize(
    "place", ["storage.file_written", "storage.file_synced", "storage.file_renamed"]
)
def test_a_disk_that_fails_leaves_nothing_and_may_be_tried_again(
    tmp_path: Path, failing: list[str], place: str
) -> None:
    failing.append(place)

    with pytest.raises(DiskFailed, match="No space left"):
        written(tmp_path, [FULL])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    failing.clear()
    assert written(tmp_path, [FULL]).rows == 1


def test_a_full_device_is_a_failed_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda _path, _mode: opened(Path("/dev/full"), "wb"))

    with pytest.raises(DiskFailed, match="No space left"):
        written(tmp_path, [FULL])
    with pytest.raises(DiskFailed, match="No space left"):  # found while a row group is written
        written(tmp_path, [{"usage": float(n), "note": str(n), "time": n} for n in range(50_000)])


def test_a_lack_of_descriptors_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, [FULL])

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DiskFailed, match="cannot be read now: Too many open files"):
        check_file(tmp_path, file)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DiskFailed, match="Too many open files"):
        read_file(tmp_path, file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL])
    (tmp_path / file.path).unlink()

    with pytest.raises(DamagedFile, match=rf"{file.path} cannot be read .*restore it from a back"):
        read_file(tmp_path, file)
    with pytest.raises(DamagedFile, match="No such file"):
        check_file(tmp_path, file)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    file = written(tmp_path, [{"host": "a", "count": 1, "time": 1}])
    good = (tmp_path / file.path).read_bytes()

    for offset in range(len(good)):  # magic, pages, page indexes, footer, its length, magic
        bad = good[:offset] + bytes([good[offset] ^ 0x10]) + good[offset + 1 :]
        (tmp_path / file.path).write_bytes(bad)
        with pytest.raises(DamagedFile, match="is damaged"):
            (read_file if offset % 2 else check_file)(tmp_path, file)


def test_every_torn_end_is_noticed(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL])
    good = (tmp_path / file.path).read_bytes()

    for bad in (
        *(good[:length] for length in range(0, len(good), 7)),
        good[:-1],
        good[: len(good) // 2] + bytes(len(good) - len(good) // 2),
        good + b"\0",
    ):
        (tmp_path / file.path).write_bytes(bad)
        with pytest.raises(DamagedFile, match="is damaged"):
            read_file(tmp_path, file)
        with pytest.raises(DamagedFile, match="is damaged"):
            check_file(tmp_path, file)


def test_a_file_that_is_none_is_damaged_though_its_checksum_fits(tmp_path: Path) -> None:
    file = written(tmp_path, [FULL])
    (tmp_path / file.path).write_bytes(b"")

    with pytest.raises(DamagedFile, match="cannot be read"):
        read_file(tmp_path, replace(file, size_bytes=0, crc32c=0))


_values = {
    "host": st.sampled_from(["a", "b", "ä", ""]),
    "region": st.sampled_from(["x", "y"]),
    "usage": st.floats(allow_nan=False),
    "count": st.integers(0, 2**64 - 1),
    "note": st.text(max_size=3),
    "time": st.integers(-5, 5),
}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"time": _values["time"]}, optional={k: v for k, v in _values.items() if k != "time"}
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_file_holds_the_last_value_of_each_field_of_each_point(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    root = tmp_path_factory.mktemp("files")
    expected: dict[tuple[object, ...], dict[str, object]] = {}
    for row in rows:
        point = (row.get("host"), row.get("region"), row["time"])
        expected[point] = {**expected.get(point, {}), **row}

    found = plain(read_file(root, written(root, rows)))

    given_only = [{k: v for k, v in row.items() if v is not None} for row in found]
    assert sorted(given_only, key=repr) == sorted(
        [dict(sorted(row.items())) for row in expected.values()], key=repr
    )
    keys = [
        [(row.get(tag) is not None, str(row.get(tag)).encode()) for tag in TAGS] + [(row["time"],)]
        for row in found
    ]
    assert keys == sorted(keys)  # type: ignore[type-var]
