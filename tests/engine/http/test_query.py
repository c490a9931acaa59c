"""SQL over HTTP."""

import json

import httpx
import pyarrow as pa
import pytest

from engine.errors import Busy, QueryExecutionFailed, QueryUnsupported
from tests.http_services import EdgeParts

PATH = "/api/v3/query_sql"
ROWS = pa.table({"n": [1, 2]})


@pytest.fixture(autouse=True)
def known(parts: EdgeParts) -> None:
    parts.queries.answers["SELECT n"] = ROWS
    parts.queries.answers["SELECT heavy"] = QueryExecutionFailed("out of memory")
    parts.queries.answers["SELECT later"] = QueryUnsupported("This feature is not implemented: x")
    parts.queries.answers["SELECT busy"] = Busy("too many queries are waiting")


def get(client: httpx.Client, accept: str = "*/*", **params: str) -> httpx.Response:
    return client.get(
        PATH, params={"db": "db", "q": "SELECT n", **params}, headers={"accept": accept}
    )


@pytest.mark.parametrize(
    ("name", "content_type", "body"),
    [
        ("json", "application/json", '[{"n": 1}, {"n": 2}]'),
        ("jsonl", "application/jsonl", '{"n": 1}\n{"n": 2}\n'),
        ("json_lines", "application/jsonl", '{"n": 1}\n{"n": 2}\n'),
        ("csv", "text/csv", "n\n1\n2\n"),
        ("pretty", "text/plain; charset=utf-8", "[{'n': 1}, {'n': 2}]"),
        ("parquet", "application/vnd.apache.parquet", "PAR1"),
    ],
)
def test_format_decides_type_and_body(
    client: httpx.Client, name: str, content_type: str, body: str
) -> None:
    by_query = get(client, format=name)
    by_body = client.post(PATH, json={"db": "db", "q": "SELECT n", "format": name})

    for answer in (by_query, by_body):
        assert (answer.status_code, answer.text) == (200, body)
        assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/html,application/xhtml+xml", "application/json"),
        ("image/png, */*", "application/json"),
    ],
)
def test_accept_header_decides_without_a_format(
    client: httpx.Client, accept: str, content_type: str
) -> None:
    assert get(client, accept).headers["content-type"] == content_type


def test_unknown_accept_is_400_even_with_a_format(client: httpx.Client) -> None:
    answer = get(client, "application/jsonl", format="json")

    assert (answer.status_code, answer.text) == (400, "invalid mime type (application/jsonl)")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "missing query parameters 'db' and 'q'"),
        ("?db=db", "serde error: missing field `q`"),
        ("?q=1", "serde error: missing field `db`"),
        ("?db=db&q=SELECT+n&format=xml", "serde error: unknown variant `xml`"),
        ("?db=db&q=SELECT+n&params=%5B%5D", "serde json error: invalid type: sequence"),
        ("?db=db&q=SELECT+n&params=%7B%22a%22%3A%5B%5D%7D", "query parameter `a` cannot"),
    ],
)
def test_wrong_parameters_are_400(client: httpx.Client, query: str, text: str) -> None:
    answer = client.get(PATH + query)

    assert answer.status_code == 400
    assert answer.text.startswith(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "serde json error: EOF while parsing a value at line 1 column 1"),
        (b"{}", "serde json error: missing field `db` at line 1 column 2"),
        (b'{"db":1,"q":""}', "serde json error: invalid type: integer `1`, expected a string"),
        (b'{"db":"db","q":"", "params":3}', "serde json error: invalid type: integer `3`"),
        (b'{"db":"db","q":"","params":{"a":{}}}', "query parameter `a` cannot be converted"),
        (b'{"db":"db","q":"","params":{"a":1e999}}', "query parameter `a` cannot be converted"),
    ],
)
def test_wrong_bodies_are_400(client: httpx.Client, body: bytes, text: str) -> None:
    answer = client.post(PATH, content=body)

    assert answer.status_code == 400
    assert answer.text.startswith(text)


def test_content_type_of_a_posted_query_does_not_matter(client: httpx.Client) -> None:
    answer = client.post(
        PATH,
        content=json.dumps({"db": "db", "q": "SELECT n"}),
        headers={"content-type": "text/plain"},
    )

    assert answer.status_code == 200


def test_parameters_reach_the_query(client: httpx.Client, parts: EdgeParts) -> None:
    params = {"a": None, "b": True, "c": 7, "d": 1.5, "e": "text"}

    get(client, params=json.dumps(params))
    client.post(PATH, json={"db": "db", "q": "SELECT n", "params": params})

    assert parts.queries.seen == [("db", "SELECT n", params)] * 2


@pytest.mark.parametrize(
    ("database", "sql", "status", "text"),
    [
        ("none", "SELECT n", 404, '{"error":"query error: database not found: none"}'),
        ("db", "SELEC", 400, "cannot plan: SELEC"),
        ("db", "SELECT later", 405, "This feature is not implemented: x"),
        ("db", "SELECT heavy", 500, "out of memory"),
        ("db", "SELECT busy", 503, "too many queries are waiting"),
    ],
)
def test_errors_of_queries(
    client: httpx.Client, database: str, sql: str, status: int, text: str
) -> None:
    answer = client.post(PATH, json={"db": database, "q": sql})

    assert (answer.status_code, answer.text) == (status, text)
    assert ("retry-after" in answer.headers) == (status == 503)
