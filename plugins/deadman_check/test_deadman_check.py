"""Tests of deadman_check."""

from datetime import datetime

import pytest

NOW = datetime(2026, 1, 1, 12, 0, 0)  # noqa: DTZ001 - as plugins get it
NOW_NS = 1_767_268_800 * 1_000_000_000
ARGS = {"table": "climate", "silence_s": "60"}


def check(plugin, local, scene, silent_s):
    """Call the plugin with a newest row of that age and return the alerts of this call."""
    scene.writes.clear()
    scene.queries = {
        "information_schema": [{"table_name": "climate"}],
        "max(time)": [{"newest": NOW_NS - silent_s * 1_000_000_000}],
    }
    plugin.process_scheduled_call(local, NOW, dict(ARGS))
    return scene.lines()


def test_silence_raises_an_alert(plugin, local, scene):
    lines = check(plugin, local, scene, silent_s=90)

    assert "\n".join(lines) == (
        "alerts,rule=deadman,table_name=climate,state=raised "
        f'silent_s=90.0,message="last row 90 s ago" {NOW_NS}'
    )


def test_one_silence_raises_one_alert_and_its_end_clears_it(plugin, local, scene):
    check(plugin, local, scene, silent_s=90)

    assert check(plugin, local, scene, silent_s=120) == []
    assert "state=cleared" in check(plugin, local, scene, silent_s=5)[0]


def test_fresh_rows_raise_nothing(plugin, local, scene):
    assert check(plugin, local, scene, silent_s=59) == []


def test_an_unknown_table_is_only_mentioned(plugin, local, scene):
    scene.queries = {"information_schema": []}

    plugin.process_scheduled_call(local, NOW, dict(ARGS))

    assert scene.lines() == []
    assert scene.logs == [("WARN", "table climate holds no rows yet")]


def test_the_name_of_the_table_is_quoted(plugin, local, scene):
    scene.queries = {"information_schema": [{}], "max(time)": [{"newest": None}]}

    plugin.process_scheduled_call(local, NOW, {"table": 'odd"name'})

    assert scene.questions[-1].sql == 'SELECT max(time) AS newest FROM "odd""name"'


def test_the_table_must_be_named(plugin, local):
    with pytest.raises(ValueError, match="'table'"):
        plugin.process_scheduled_call(local, NOW, None)
