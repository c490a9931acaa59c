"""Databases and tables over HTTP."""

import httpx
import pytest

from engine.model.schema import ColumnType
from tests.http_services import EdgeParts

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
