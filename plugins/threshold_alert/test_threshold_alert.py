"""Tests of threshold_alert."""

import pytest

ARGS = {"column": "degrees", "max": "30", "by": "room"}


def write(plugin, local, scene, *degrees, table="climate", args=ARGS):
    """Call the plugin with one row per value and return the alerts of this call."""
    scene.writes.clear()
    rows = [{"room": "attic", "degrees": value, "time": n} for n, value in enumerate(degrees)]
    plugin.process_writes(local, [{"table_name": table, "rows": rows}], dict(args))
    return scene.lines()


def test_passing_the_limit_raises_one_alert(plugin, local, scene):
    lines = write(plugin, local, scene, 20.0, 31.5, 32.0)

    assert "\n".join(lines) == (
        "alerts,rule=degrees,table_name=climate,series=room\\=attic,state=raised "
        'value=31.5,message="degrees is 31.5, above 30.0" 1'
    )
    assert scene.logs == [("WARN", "degrees: room=attic: degrees is 31.5")]


def test_a_raised_series_stays_quiet_in_the_next_flush(plugin, local, scene):
    write(plugin, local, scene, 31.0)

    assert write(plugin, local, scene, 33.0) == []


def test_coming_back_clears_the_alert(plugin, local, scene):
    write(plugin, local, scene, 31.0)

    lines = write(plugin, local, scene, 29.0)

    assert len(lines) == 1
    assert "state=cleared" in lines[0]


def test_a_lower_limit_works_as_well(plugin, local, scene):
    lines = write(
        plugin, local, scene, 4.0, args={"column": "degrees", "min": "5", "rule": "frost"}
    )

    assert lines[0].startswith("alerts,rule=frost,table_name=climate,series=all,state=raised ")
    assert "below 5.0" in lines[0]


def test_alerts_raise_no_alerts(plugin, local, scene):
    assert write(plugin, local, scene, 99.0, table="alerts") == []


def test_missing_arguments_are_named(plugin, local):
    with pytest.raises(ValueError, match="'column' and 'max' or 'min'"):
        plugin.process_writes(local, [], {"column": "degrees"})
