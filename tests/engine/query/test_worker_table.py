"""Who sees which workers, and how."""

from engine.catalog.state import Catalog, Database
from engine.model.limits import Limits
from engine.query.worker_table import WorkerRow, worker_table


def row(trigger_id: int, database: str) -> WorkerRow:
    return WorkerRow(
        trigger_id=trigger_id,
        trigger=f"t{trigger_id}",
        database=database,
        pid=100 + trigger_id,
        started_ns=5_000,
        limits=Limits(memory_bytes=512, cpu=0.5),
        limited_by="cgroup",
        rss_bytes=77,
    )


ROWS = [row(1, "db"), row(2, "other"), row(0, "db")]
CATALOG = Catalog.empty("uuid")
provide = worker_table(lambda: ROWS, lambda: {1: "committing", 2: "ready"})


def test_a_database_sees_its_own_workers_and_the_internal_one_all() -> None:
    own = provide(CATALOG, Database(1, "db"))
    everything = provide(CATALOG, CATALOG.database("_internal"))

    assert own["trigger_name"].to_pylist() == ["t1", "t0"]
    assert everything["trigger_name"].to_pylist() == ["t1", "t2", "t0"]


def test_state_is_that_of_the_trigger_and_tests_have_their_own() -> None:
    states = provide(CATALOG, CATALOG.database("_internal"))["state"].to_pylist()

    assert states == ["running", "ready", "testing"]


def test_limits_stand_beside_what_was_measured_and_what_was_not_is_null() -> None:
    (first, *_) = provide(CATALOG, Database(2, "other")).to_pylist()

    assert (first["rss_bytes"], first["memory_limit_bytes"], first["cpu_limit"]) == (77, 512, 0.5)
    assert (first["private_bytes"], first["disk_limit_bytes"]) == (None, None)
    assert (first["pid"], first["limited_by"]) == (102, "cgroup")


def test_without_workers_the_table_is_empty_with_all_its_columns() -> None:
    empty = worker_table(list, dict)(CATALOG, Database(1, "db"))

    assert (empty.num_rows, empty.num_columns) == (0, 17)
