from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import QueryRejected
from engine.query.mentions import Mentions
from engine.query.rewrite import Params, lists_tables, rewrite
from engine.query.scan import Kind, scan


def rewritten(sql: str, params: Params | None = None) -> str:
    return rewrite(sql, params or {})[0]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM $table WHERE v > $x", 'SELECT * FROM "my ""t""" WHERE v > $x'),
        ("select * from\n/* which */ $table", 'select * from\n/* which */ "my ""t"""'),
        ("SELECT * FROM a JOIN $table ON a.v = $x", 'SELECT * FROM a JOIN "my ""t""" ON a.v = $x'),
        ("SELECT * FROM a, $table, $table b", 'SELECT * FROM a, "my ""t""", "my ""t""" b'),
        ("SELECT * FROM a x JOIN b ON $x = 1, $table", None),
        ("SELECT (SELECT max(v) FROM $table), $x FROM b ORDER BY a, $x", None),
        ("WITH c AS (SELECT 1 FROM $table) SELECT * FROM c", None),
        ("FROM $table", 'FROM "my ""t"""'),
        ("DESCRIBE $table", 'DESCRIBE "my ""t"""'),
        ("SHOW COLUMNS FROM $table", 'SHOW COLUMNS FROM "my ""t"""'),
    ],
)
def test_placeholder_in_the_place_of_a_table_becomes_a_quoted_name(
    sql: str, expected: str | None
) -> None:
    params: Params = {"table": 'my "t"', "x": 1}

    assert rewritten(sql, params) == (expected or sql.replace("$table", '"my ""t"""'))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT $table, a FROM t",
        "SELECT * FROM t WHERE a IS DISTINCT FROM $table",
        "SELECT * FROM t WHERE a IS NOT DISTINCT FROM $table",
        "SELECT extract(hour FROM $table) FROM t",
        "SELECT trim(both 'x' FROM $table) FROM t GROUP BY a, $table LIMIT $table",
        "SELECT * FROM generate_series(1, $table)",
        "SELECT * FROM t WHERE a IN ('x', $table)",
        "SELECT 'FROM $table' -- FROM $table",
        'SELECT "FROM $table" /* FROM $table /* JOIN $table */ FROM $table */',
        "SELECT E'it\\' FROM $table' FROM t",
        "SELECT $$ FROM $table $$ FROM t",
        "SELECT * FROM a$table",
    ],
)
def test_placeholder_elsewhere_stays(sql: str) -> None:
    assert rewritten(sql, {"table": "x"}) == sql


@pytest.mark.parametrize("params", [{}, {"other": "cpu"}])
def test_table_without_a_value_is_refused(params: Params) -> None:
    with pytest.raises(QueryRejected, match=r"No value found for placeholder with name \$table"):
        rewrite("SELECT * FROM $table", params)


def test_table_that_is_no_string_is_refused() -> None:
    with pytest.raises(QueryRejected, match="must be a string"):
        rewrite("SELECT * FROM $table", {"table": 5})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("now() - 'interval 1 hour'", "now() - interval '1 hour'"),
        ("now() -'interval 5m'", "now() -interval '5m'"),
        ("now() + /* x */ ' INTERVAL  1 day 2 hours'", "now() + /* x */ interval '1 day 2 hours'"),
        ("now() - interval '1 hour'", "now() - interval '1 hour'"),
        ("f('interval 1 hour')", "f('interval 1 hour')"),
        ("a = 'interval 1 hour'", "a = 'interval 1 hour'"),
        ("a -> 'interval 1'", "a -> 'interval 1'"),
        ("1 - 'intervals 1'", "1 - 'intervals 1'"),
        ("'x - ''interval 5m'''", "'x - ''interval 5m'''"),
    ],
)
def test_quoted_interval_becomes_an_interval_only_after_plus_and_minus(
    sql: str, expected: str
) -> None:
    assert rewritten(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("to_timestamp(1700000000000000000)", "to_timestamp_nanos(1700000000000000000)"),
        ("TO_TIMESTAMP ( -5 )", "to_timestamp_nanos ( -5 )"),
        ("to_timestamp($n)", "to_timestamp_nanos($n)"),
        ("to_timestamp($s)", "to_timestamp($s)"),
        ("to_timestamp('2024-01-01')", "to_timestamp('2024-01-01')"),
        ("to_timestamp(1.5)", "to_timestamp(1.5)"),
        ("to_timestamp(1 + 2)", "to_timestamp(1 + 2)"),
        ("to_timestamp(5, '%s')", "to_timestamp(5, '%s')"),
        ("my_to_timestamp(5) -- to_timestamp(5)", "my_to_timestamp(5) -- to_timestamp(5)"),
        ("to_timestamp", "to_timestamp"),
    ],
)
def test_to_timestamp_of_an_integer_counts_nanoseconds(sql: str, expected: str) -> None:
    assert rewritten(sql, {"n": 5, "s": "2024-01-01"}) == expected


def test_sql_without_such_spellings_is_returned_as_it_is() -> None:
    sql = "SELECT *\tFROM  cpu ;"

    assert rewritten(sql) is sql


bodies = st.text(alphabet=st.sampled_from("aä$'\"-/*+ \n\\`;") | st.characters(), max_size=12)
snippets = st.sampled_from(
    ["$t", "FROM $t", "- 'interval 5m'", "to_timestamp(5)", "JOIN", ",", "(", ")", "SELECT", "''"]
)
protected = st.one_of(
    bodies.map(lambda s: "'" + s.replace("'", "''") + "'"),
    bodies.map(lambda s: '"' + s.replace('"', '""') + '"'),
    bodies.map(lambda s: "--" + s.replace("\n", "") + "\n"),
    bodies.filter(lambda s: "*/" not in s and "/*" not in s).map(lambda s: f"/*_{s}_*/"),
)


@settings(deadline=None)
@given(st.lists(snippets | protected, max_size=10))
def test_strings_names_and_comments_survive(parts: list[str]) -> None:
    sql = " ; ".join(parts) + " ; - 'interval 1s'"

    result = rewritten(sql, {"t": "tab"})

    kept = [part for part in parts if part[:1] in {"'", '"'} or part[:2] in {"--", "/*"}]
    position = 0
    for part in kept:
        position = result.index(part, position) + len(part)
    assert result.endswith("- interval '1s'")


@given(st.text())
def test_scanned_pieces_joined_are_the_text(sql: str) -> None:
    assert "".join(token.text for token in scan(sql)) == sql


@settings(deadline=None)
@given(st.lists(snippets | protected, max_size=10))
def test_rewriting_twice_changes_nothing_more(parts: list[str]) -> None:
    once = rewritten(" ".join(parts), {"t": "tab"})

    assert rewritten(once, {"t": "tab"}) == once


def test_open_string_is_one_piece_to_the_end() -> None:
    assert [t.kind for t in scan("a 'b -- c")] == [Kind.WORD, Kind.SPACE, Kind.STRING]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [("show tables", True), ("-- x\n SHOW /* */ TABLES;", True), ("SELECT 'show tables'", False)],
)
def test_show_tables_is_recognised(sql: str, expected: bool) -> None:
    assert lists_tables(sql) is expected


def test_mentions_name_every_table_that_may_be_read() -> None:
    names = ["cpu", "CPU2", "it's", 'a"b', "Größe", "other"]
    sql = "select * from cpu, cPu2, 'it''s', \"a\"\"b\", Größe"

    assert Mentions(sql).of(names) == names[:-1]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SHOW TABLES", True),
        ("select 1 from INFORMATION_SCHEMA.columns", True),
        ("select 1", False),
    ],
)
def test_mentions_know_when_the_catalog_is_listed(sql: str, expected: bool) -> None:
    assert Mentions(sql).lists_catalog is expected
