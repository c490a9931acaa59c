"""Tests of summary."""

COLUMNS = [
    {"column_name": "room", "data_type": "Dictionary(Int32, Utf8)"},
    {"column_name": "degrees", "data_type": "Float64"},
    {"column_name": "time", "data_type": "Timestamp(ns)"},
]
GROUPS = [{"room": "attic", "row_count": 2, "degrees_mean": 30.0}]


def ask(plugin, local, scene, **query):
    """Call the plugin with a table that is there."""
    scene.queries = {"information_schema": COLUMNS, "FROM": GROUPS}
    return plugin.process_request(local, query, {}, b"", None)


def test_numeric_columns_are_summed_up_per_group(plugin, local, scene):
    answer = ask(plugin, local, scene, table="climate", by="room", last_s="60")

    assert answer == {"table": "climate", "columns": ["degrees"], "groups": GROUPS}
    assert scene.questions[1].sql == (
        'SELECT "room", count(*) AS row_count, avg("degrees") AS "degrees_mean", '
        'min("degrees") AS "degrees_min", max("degrees") AS "degrees_max" FROM "climate" '
        'WHERE time > now() - INTERVAL \'60.000000 seconds\' GROUP BY "room" ORDER BY "room"'
    )


def test_an_unknown_table_is_not_found(plugin, local, scene):
    scene.queries = {"information_schema": []}

    _, status = plugin.process_request(local, {"table": "nope"}, {}, b"", None)

    assert status == 404


def test_what_cannot_be_read_is_the_callers_fault(plugin, local, scene):
    assert ask(plugin, local, scene)[1] == 400
    assert ask(plugin, local, scene, table="climate", by="nope")[1] == 400
    assert ask(plugin, local, scene, table="climate", last_s="-5")[1] == 400


def test_arguments_of_the_trigger_are_defaults(plugin, local, scene):
    scene.queries = {"information_schema": COLUMNS, "FROM": GROUPS}

    answer = plugin.process_request(local, {}, {}, b"", {"table": "climate"})

    assert answer["table"] == "climate"
