"""Databases and tables over HTTP."""

import httpx
import pytest

from engine.catalog.commands import NewTrigger, create_trigger
from engine.model.schema import ColumnType
from engine.model.trigger import AllTablesSpec
from tests.http_services import NOW_NS, EdgeParts

DATABASE = "/api/v3/configure/database"
TABLE = "/api/v3/configure/table"
DAY_NS = 86_400 * 10**9


def retention(parts: EdgeParts, name: str) -> int | None:
    return parts.catalog.catalog.database(name).retention_ns


def test_database_is_created_once(client: httpx.Client, parts: EdgeParts) -> None:
    first = client.post(DATABASE, json={"db": "new", "retention_period": "30d"})
    second = client.post(DATABASE, json={"db": "new"})

    assert (first.status_code, first.content) == (200, b"")
    assert retention(parts, "new") == 30 * DAY_NS
    assert (second.status_code, second.text) == (
        409,
        "attempted to create a resource that already exists",
    )


def test_databases_are_listed_by_name_with_the_internal_one(client: httpx.Client) -> None:
    for name in ("zoo", "abc"):
        client.post(DATABASE, json={"db": name})

    listed = client.get(DATABASE, params={"format": "json"})
    with_deleted = client.get(DATABASE, params={"format": "csv", "show_deleted": "true"})

    assert [row["iox::database"] for row in listed.json()] == ["_internal", "abc", "zoo"]
    assert with_deleted.text.splitlines()[0] == "iox::database,deleted"
    assert with_deleted.headers["content-type"] == "text/csv"


def test_listing_needs_a_format(client: httpx.Client) -> None:
    answer = client.get(DATABASE)

    assert (answer.status_code, answer.text) == (400, "serde error: missing field `format`")


def test_retention_period_is_set_and_cleared(client: httpx.Client, parts: EdgeParts) -> None:
    client.post(DATABASE, json={"db": "db"})

    assert client.put(DATABASE, json={"db": "db", "retention_period": "1d"}).status_code == 200
    assert retention(parts, "db") == DAY_NS
    assert client.put(DATABASE, json={"db": "db"}).status_code == 200
    assert retention(parts, "db") is None

    path = f"{DATABASE}/retention_period"
    assert client.post(path, params={"db": "db", "duration": "2d"}).status_code == 204
    assert retention(parts, "db") == 2 * DAY_NS
    assert client.delete(path, params={"db": "db"}).status_code == 204
    assert retention(parts, "db") is None


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "serde json error: missing field `db` at line 1 column 2"),
        ({"db": ""}, 400, '{"error":"db name cannot be empty"}'),
        ({"db": "_x"}, 400, '{"error":"db name did not start with a number or letter"}'),
        ({"db": "d", "retention_period": "soon"}, 400, "Cannot parse the given human time: "),
        ({"db": "d", "retention_period": "600y"}, 400, "Cannot parse the given human time: "),
        ({"db": "d", "retention_period": "0s"}, 400, "retention period must be longer than 0"),
    ],
)
def test_wrong_databases_are_refused(
    client: httpx.Client, body: dict, status: int, text: str
) -> None:
    answer = client.post(DATABASE, json=body)

    assert answer.status_code == status
    assert answer.text.startswith(text)


def test_unknown_and_internal_databases_cannot_be_changed(client: httpx.Client) -> None:
    unknown = client.put(DATABASE, json={"db": "none"})
    internal = client.put(DATABASE, json={"db": "_internal"})

    assert (unknown.status_code, unknown.text) == (
        404,
        "the requested resource was not found: none",
    )
    assert (internal.status_code, internal.text) == (500, "cannot modify internal db")


@pytest.mark.parametrize("content_type", ["application/json", "application/x+json; charset=utf-8"])
def test_json_content_types_are_taken(client: httpx.Client, content_type: str) -> None:
    answer = client.post(DATABASE, content=b'{"db":"a"}', headers={"content-type": content_type})

    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/json", "application/xml"])
def test_other_content_types_are_415(client: httpx.Client, content_type: str) -> None:
    answer = client.post(DATABASE, content=b'{"db":"a"}', headers={"content-type": content_type})

    assert answer.status_code == 415
    assert answer.text == "unacceptable content-type, expected: application/json"


def test_table_is_created_with_its_database(client: httpx.Client, parts: EdgeParts) -> None:
    fields = [{"name": "v", "type": "float64"}, {"name": "n", "type": "uint64"}]
    body = {"db": "db", "table": "t", "tags": ["host"], "fields": fields}

    created = client.post(TABLE, json=body)
    again = client.post(TABLE, json=body)

    schema = parts.catalog.catalog.database("db").tables["t"].schema
    assert (created.status_code, again.status_code) == (200, 409)
    assert schema.tags == ("host",)
    assert schema.type_of("v") is ColumnType.FLOAT
    assert schema.type_of("n") is ColumnType.UINTEGER


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tags": None}, "serde json error: invalid type: null, expected a sequence"),
        ({"fields": [{"name": "v", "type": "text"}]}, "text is not a valid data type"),
        ({"fields": ["v"]}, "serde json error: a field needs"),
        ({"tags": [1]}, "serde json error: a column name"),
        ({"tags": ["a", "a"]}, "column name is reserved or given twice: a"),
        ({"tags": ["time"]}, "column name is reserved or given twice: time"),
        ({"table": ""}, "table name is empty"),
    ],
)
def test_wrong_tables_are_refused(client: httpx.Client, change: dict, text: str) -> None:
    body = {"db": "db", "table": "t", "tags": [], "fields": [], **change}

    answer = client.post(TABLE, json=body)

    assert answer.status_code == 400
    assert answer.text.startswith(text)


def deleted(parts: EdgeParts) -> dict[str, int | None]:
    """Return what is in the trash with the times at which it is removed."""
    trash = parts.catalog.catalog.trash.values()
    return {trashed.name: trashed.hard_delete_ns for trashed in trash}


def test_deleted_database_frees_its_name_and_takes_its_triggers_along(
    client: httpx.Client, parts: EdgeParts
) -> None:
    client.post(DATABASE, json={"db": "db"})
    new = NewTrigger("db", "t", "p.py", AllTablesSpec())
    parts.catalog.update(create_trigger(new, start=0, now_ns=0))

    gone = client.delete(DATABASE, params={"db": "db"})
    again = client.delete(DATABASE, params={"db": "db"})
    created = client.post(DATABASE, json={"db": "db"})

    assert (gone.status_code, gone.content, created.status_code) == (200, b"", 200)
    assert (again.status_code, again.text) == (
        409,
        "attempted to modify resource that was already deleted: db",
    )
    assert parts.catalog.catalog.triggers == {}
    assert deleted(parts) == {"db-20231114T221320": NOW_NS + 3 * DAY_NS}


@pytest.mark.parametrize(
    ("hard_delete_at", "expected_ns"),
    [
        ("default", NOW_NS + 3 * DAY_NS),
        ("now", NOW_NS),
        ("never", None),
        ("2023-11-14T22:13:21Z", NOW_NS + 10**9),
        ("2000-01-01T00:00:00Z", NOW_NS),
    ],
)
def test_time_of_removal_is_chosen(
    client: httpx.Client, parts: EdgeParts, hard_delete_at: str, expected_ns: int | None
) -> None:
    client.post(TABLE, json={"db": "db", "table": "t", "tags": [], "fields": []})

    table = client.delete(
        TABLE, params={"db": "db", "table": "t", "hard_delete_at": hard_delete_at}
    )
    database = client.delete(DATABASE, params={"db": "db", "hard_delete_at": hard_delete_at})

    assert (table.status_code, database.status_code) == (200, 200)
    assert deleted(parts) == {
        "t-20231114T221320": expected_ns,
        "db-20231114T221320": expected_ns,
    }


def test_deleted_databases_are_listed_behind_the_others_when_asked(client: httpx.Client) -> None:
    for name in ("zoo", "abc"):
        client.post(DATABASE, json={"db": name})
    client.delete(DATABASE, params={"db": "abc"})

    listed = client.get(DATABASE, params={"format": "json"})
    all_ = client.get(DATABASE, params={"format": "json", "show_deleted": "true"})

    assert [row["iox::database"] for row in listed.json()] == ["_internal", "zoo"]
    assert [(row["iox::database"], row["deleted"]) for row in all_.json()] == [
        ("_internal", False),
        ("zoo", False),
        ("abc-20231114T221320", True),
    ]


def test_deleted_database_takes_no_more_writes(client: httpx.Client) -> None:
    client.post(DATABASE, json={"db": "db"})
    client.delete(DATABASE, params={"db": "db"})
    name = "db-20231114T221320"

    old = client.post("/api/v3/write_lp", params={"db": name}, content="m f=1 1")
    new = client.post("/api/v3/write_lp", params={"db": "db"}, content="m f=1 1")

    assert old.status_code == 400
    assert old.json() == {
        "error": f"cannot write to soft-deleted database '{name}' - it is marked for deletion"
    }
    assert new.status_code == 204


@pytest.mark.parametrize(
    ("path", "params", "status", "text"),
    [
        (DATABASE, {}, 400, "serde error: missing field `db`"),
        (DATABASE, {"db": "none"}, 404, "the requested resource was not found: none"),
        (DATABASE, {"db": "_internal"}, 500, "cannot delete internal db"),
        (DATABASE, {"db": "db", "hard_delete_at": "soon"}, 400, "invalid hard delete time 'soon'"),
        (TABLE, {"db": "db"}, 400, "serde error: missing field `table`"),
        (TABLE, {"db": "db", "table": "none"}, 404, "the requested resource was not found: none"),
        (TABLE, {"db": "none", "table": "t"}, 404, "the requested resource was not found: none"),
        (TABLE, {"db": "_internal", "table": "t"}, 500, "cannot delete internal db"),
    ],
)
def test_wrong_deletions_are_refused(
    client: httpx.Client, path: str, params: dict, status: int, text: str
) -> None:
    client.post(DATABASE, json={"db": "db"})

    answer = client.delete(path, params=params)

    assert answer.status_code == status
    assert answer.text.startswith(text)
