"""Tests of write_report."""


def batch(table, rows):
    """Return a batch of so many rows."""
    return {"table_name": table, "rows": [{"x": 1, "time": n} for n in range(rows)]}


def test_each_table_is_reported_with_its_rows(plugin, local, scene):
    plugin.process_writes(local, [batch("cpu", 3), batch("disk", 1)], None)

    assert scene.lines() == [
        "write_reports,table_name=cpu row_count=3i",
        "write_reports,table_name=disk row_count=1i",
    ]


def test_own_reports_are_not_reported(plugin, local, scene):
    plugin.process_writes(local, [batch("mine", 3)], {"target": "mine"})

    assert scene.lines() == []
