"""Tests of downsample."""

import pytest

SECOND = 1_000_000_000


def write(plugin, local, scene, *rows, table="climate", **args):
    """Call the plugin with rows of one table and return what it has written now."""
    scene.writes.clear()
    settings = {"window_s": "10", **args}
    plugin.process_writes(local, [{"table_name": table, "rows": list(rows)}], settings)
    return scene.lines()


def row(second, degrees, **tags):
    """Return a row."""
    return {**tags, "degrees": degrees, "time": second * SECOND}


def test_rows_of_one_window_become_one_point(plugin, local, scene):
    lines = write(plugin, local, scene, row(11, 20.0), row(19, 30.0))

    assert "\n".join(lines) == (
        "rollup,source=climate degrees_count=2i,degrees_mean=25.0,"
        "degrees_min=20.0,degrees_max=30.0 10000000000"
    )


def test_a_later_flush_goes_on_with_the_sums(plugin, local, scene):
    write(plugin, local, scene, row(11, 20.0))

    lines = write(plugin, local, scene, row(12, 40.0))

    assert "degrees_count=2i,degrees_mean=30.0" in lines[0]


def test_groups_follow_the_tags_asked_for(plugin, local, scene):
    rows = [row(1, 1, room="a"), row(2, 3, room="b"), row(3, 5, room="a", desk="7")]

    lines = write(plugin, local, scene, *rows, by="room")

    assert [line.split(" ")[0] for line in lines] == [
        "rollup,source=climate,room=a",
        "rollup,source=climate,room=b",
    ]


def test_booleans_and_texts_are_not_measured(plugin, local, scene):
    assert write(plugin, local, scene, {"on": True, "note": "hot", "time": 0}) == []


def test_own_output_is_never_read(plugin, local, scene):
    assert write(plugin, local, scene, row(1, 1.0), table="rollup") == []


def test_rows_of_a_closed_window_are_counted_not_added(plugin, local, scene):
    write(plugin, local, scene, row(10, 1.0), row(20, 1.0), row(30, 1.0), keep="2")

    lines = write(plugin, local, scene, row(15, 9.0), row(25, 3.0), keep="2")

    assert [line.split(" ")[-1] for line in lines] == ["20000000000"]
    assert scene.logs == [("WARN", "1 rows came after their window was closed")]


def test_a_failed_run_leaves_the_sums_alone(plugin, local, scene):
    write(plugin, local, scene, row(11, 20.0))
    before = dict(local.cache.get("sums"))

    with pytest.raises(TypeError):
        write(plugin, local, scene, row(12, 40.0), row(13, None))

    assert local.cache.get("sums") == before
