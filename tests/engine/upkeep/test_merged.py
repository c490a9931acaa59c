"""Whatever is written, persisted, compacted and started again: reads give the last values."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.storage.parquet import read_file
from tests.persisting import Points, Row, Site, merge_into, plain

rows = st.lists(
    st.fixed_dictionaries(
        {"time": st.integers(0, 30)},
        optional={
            "host": st.sampled_from(["a", "b", ""]),
            "usage": st.floats(allow_nan=False),
            "note": st.text(max_size=2),
        },
    ),
    min_size=1,
    max_size=6,
)
steps = st.lists(st.one_of(rows, st.sampled_from(["persist", "compact", "restart"])), max_size=40)


@pytest.fixture(params=[10**6, 6])
def _max_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many rows a file that is made from others has; with few, it takes several slices."""
    for module in ("compactor", "merging"):
        monkeypatch.setattr(f"engine.upkeep.{module}.rows_limit", lambda _columns: request.param)


@pytest.mark.usefixtures("_max_rows")
@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps)
def test_reads_give_the_last_value_of_each_field(
    tmp_path_factory: pytest.TempPathFactory, plan: list[list[Row] | str]
) -> None:
    root = tmp_path_factory.mktemp("node")
    site = Site(root)
    site.create("cpu")
    expected: Points = {}
    logged: list[list[Row]] = []
    for step in plan:
        match step:
            case "persist":
                site.persister.persist_all()
            case "compact":
                while site.compactor.compact_one():
                    pass
            case "restart":
                site = _started_again(site, logged)
            case written:
                assert isinstance(written, list)
                site.write(written)
                logged.append(written)
                merge_into(expected, written)

    assert site.points() == expected
    assert site.paths_on_disk() == {file.path for file in site.table().files}
    assert all(file.rows == len(set(file_points(site, file.path))) for file in site.table().files)
    shutil.rmtree(root)


def file_points(site: Site, path: str) -> list[tuple[object, object]]:
    (file,) = (file for file in site.table().files if file.path == path)
    return [(row.get("host"), row["time"]) for row in plain(read_file(site.root, file))]


def _started_again(site: Site, logged: list[list[Row]]) -> Site:
    again = Site(site.root)
    table = again.table()
    again.files.sweep({file.path for file in table.files})
    again.buffer.start_at(table.database_id, table.id, table.persisted_to)
    for written in logged:
        again.write(written)
    return again
