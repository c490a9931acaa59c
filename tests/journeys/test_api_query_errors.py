"""What a failed `influxdb3_local.query` raises, through a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.probing import Probe
from tests.serving import serving


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    with serving(tmp_path_factory.mktemp("errors")) as server:
        server.create_database("db")
        server.write("db", "m i=1i 1")
        yield Probe.add(server)


def query(sql: str, *rest: str) -> str:
    return f"influxdb3_local.query({', '.join([repr(sql), *rest])})"


@pytest.mark.parametrize(
    ("sql", "rest", "text"),
    [
        (
            "SELECT foo FROM not_here",
            [],
            (
                "error: error while planning query: Error during planning: table "
                "'public.iox.not_here' not found executing query on db: SELECT foo FROM not_here"
            ),
        ),
        (
            "SELECT 1",
            ["None", "'nowhere'"],
            "error: database not found: nowhere executing query on nowhere: SELECT 1",
        ),
        (
            "SELECT 1",
            ["None", "''"],
            (
                "invalid database name provided: database name  length must be between 1 and 511 "
                "characters"
            ),
        ),
        (
            "SELECT $gone",
            [],
            (
                "error: error while planning query: Error during planning: No value found for "
                "placeholder with name $gone executing query on db: SELECT $gone"
            ),
        ),
    ],
)
def test_a_failed_query_says_why_and_where(
    probe: Probe, sql: str, rest: list[str], text: str
) -> None:
    assert probe.raised(query(sql, *rest)) == ("QueryError", text)


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "CREATE TABLE x AS SELECT 1", "DROP TABLE m", "SELECT 1; SELECT 2", "SELECT i / 0"],
)
def test_what_is_no_question_is_a_query_error(probe: Probe, sql: str) -> None:
    name, text = probe.raised(query(sql))

    assert name == "QueryError"
    assert text.startswith("error: ")
    assert text.endswith(f" executing query on db: {sql}")


def test_the_error_can_be_told_by_its_name_and_caught_as_an_exception(probe: Probe) -> None:
    told = probe.run(
        """
        try:
            influxdb3_local.query("SELECT 1 FROM not_here")
        except Exception as error:
            result = [type(error).__name__, type(error).__module__, isinstance(error, QueryError)]
            result.append(type(error).__bases__ == (Exception,))
        """
    )

    assert told == ["QueryError", "influxdb3_py_api", True, True]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (query("SELECT 1", "{2: 'b'}"), "argument 'args': must be str, not int"),
        (query("SELECT 1", "'x'"), "argument 'args': must be dict, not str"),
        (
            query("SELECT 1", "{'a': []}"),
            "argument 'args': the value of 'a' must be None, bool, int, float or str, not list",
        ),
        (query("SELECT 1", "None", "5"), "argument 'database': must be str, not int"),
        ("influxdb3_local.query(5)", "argument 'query': must be str, not int"),
    ],
)
def test_arguments_of_other_types_are_type_errors(probe: Probe, call: str, text: str) -> None:
    assert probe.raised(call) == ("TypeError", text)
