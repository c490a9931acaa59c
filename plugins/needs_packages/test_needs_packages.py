"""Tests of needs_packages."""

import re
from datetime import datetime

import pytest

NOW = datetime(2026, 1, 1, 12, 0, 0)  # noqa: DTZ001 - as plugins get it
NOW_NS = 1_767_268_800 * 1_000_000_000
ARGS = {"table": "disk", "column": "used", "limit": "100"}


def forecast(plugin, local, scene, *values, **args):
    """Call the plugin with a row a second, the last of them now; return what it writes."""
    start_ns = NOW_NS - (len(values) - 1) * 1_000_000_000
    rows = [
        {"time": start_ns + n * 1_000_000_000, "value": value} for n, value in enumerate(values)
    ]
    scene.queries = {'FROM "disk"': rows}
    plugin.process_scheduled_call(local, NOW, {**ARGS, **args})
    return scene.lines()


def figures(line):
    """Return the fields of a line."""
    return {name: float(value) for name, value in re.findall(r"(\w+)=([-\d.e]+)[, ]", line)}


def test_a_rising_column_reaches_its_limit(plugin, local, scene):
    [line] = forecast(plugin, local, scene, 50, 51, 52, 53)

    assert line.startswith("forecast,table_name=disk,column=used ")
    assert line.endswith(f" {NOW_NS}")
    assert figures(line) == pytest.approx({"slope_per_s": 1.0, "reached_in_s": 47.0})


def test_a_column_that_goes_away_from_its_limit_never_reaches_it(plugin, local, scene):
    [line] = forecast(plugin, local, scene, 53.0, 52.0, 51.0)

    assert figures(line) == pytest.approx({"slope_per_s": -1.0})


def test_a_steady_column_reaches_nothing(plugin, local, scene):
    [line] = forecast(plugin, local, scene, 53.1, 53.1, 53.1)

    assert "reached_in_s" not in line


@pytest.mark.parametrize("values", [(), (1.0,)])
def test_too_few_rows_are_mentioned_and_make_no_line(plugin, local, scene, values):
    assert forecast(plugin, local, scene, *values) == []
    assert scene.logs == [("INFO", f"{len(values)} rows of disk are too few for a line")]


def test_names_are_quoted_and_the_window_ends_now(plugin, local, scene):
    scene.queries = {"SELECT": []}

    args = {"table": 'odd"name', "column": "c d", "limit": "1", "window_s": "10"}
    plugin.process_scheduled_call(local, NOW, args)

    sql = scene.questions[-1].sql
    assert '"c d" AS value FROM "odd""name" WHERE "c d" IS NOT NULL' in sql
    assert f"time > to_timestamp_nanos({NOW_NS - 10 * 10**9})" in sql
    assert sql.endswith(f"time <= to_timestamp_nanos({NOW_NS})")


@pytest.mark.parametrize("name", ["table", "column", "limit"])
def test_table_column_and_limit_must_be_named(plugin, local, name):
    with pytest.raises(ValueError, match=f"'{name}'"):
        plugin.process_scheduled_call(local, NOW, {n: v for n, v in ARGS.items() if n != name})
