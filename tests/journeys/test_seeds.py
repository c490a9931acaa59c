"""The samples of the two documents that the product was asked for with, word for word."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.serving import Server, eventually

SEEDS = Path(__file__).parent.parent / "samples" / "seeds"
LINE = "weather,location=us-midwest temperature=82.5 1627680000000000000"


@pytest.fixture
def seeded(server: Server) -> Server:
    for file in SEEDS.glob("*.py"):
        shutil.copy(file, server.plugins)
    server.create_database("mydb")
    return server


def test_the_wal_sample_reports_rows_and_doubles_the_table_it_is_told_to(seeded: Server) -> None:
    arguments = {"double_count_table": "cpu"}
    seeded.trigger("mydb", "reports", "all-tables", "wal_plugin.py", arguments=arguments)

    seeded.write("mydb", "cpu v=1 1\ncpu v=2 2\nmem v=1 1")
    rows = eventually(
        lambda: (
            seeded.count("mydb", "write_reports")
            and seeded.sql("mydb", "SELECT table_name, row_count FROM write_reports ORDER BY 1")
        )
    )

    assert rows == [
        {"table_name": "cpu", "row_count": 4},
        {"table_name": "mem", "row_count": 1},
    ]
    assert "wal_plugin.py done" in seeded.logs("mydb", "reports")


@pytest.mark.slow
def test_the_wal_sample_on_all_tables_runs_on_under_steady_writes(seeded: Server) -> None:
    seeded.trigger("mydb", "reports", "all-tables", "wal_plugin.py")

    written = 0
    until_s = time.monotonic() + 60
    while seeded.logs("mydb", "reports").count("wal_plugin.py done") < 35:
        assert time.monotonic() < until_s
        written += 1
        assert seeded.write("mydb", f"cpu v=1 {written}").status == 204

    counted = eventually(
        lambda: (
            seeded.sql(
                "mydb", "SELECT sum(row_count) AS n FROM write_reports WHERE table_name = 'cpu'"
            )[0]["n"]
            == written
        )
    )
    assert counted
    assert seeded.logs("mydb", "reports", "ERROR") == []


def test_the_threshold_sample_reads_its_arguments(seeded: Server) -> None:
    seeded.trigger("mydb", "with", "table:cpu", "threshold.py", arguments={"threshold": "90"})
    seeded.trigger("mydb", "without", "table:cpu", "threshold.py")

    seeded.write("mydb", "cpu v=1 1")

    eventually(lambda: "Threshold is 90" in seeded.logs("mydb", "with", "INFO"))
    eventually(lambda: seeded.logs("mydb", "without", "WARN") == ["No threshold provided"])


def test_the_schedule_sample_complains_about_a_table_without_recent_rows(seeded: Server) -> None:
    seeded.write("mydb", "cpu v=1 1")
    arguments = {"table_name": "cpu"}
    for name, spec in (("every", "every:1s"), ("cron", "schedule:* * * * * *")):
        seeded.trigger("mydb", name, spec, "schedule_plugin.py", arguments=arguments)
    seeded.trigger("mydb", "bare", "schedule:* * * * * *", "schedule_plugin.py")

    complaint = "No data in cpu in the last 5 minutes"
    eventually(lambda: complaint in seeded.logs("mydb", "every", "ERROR"))
    eventually(lambda: complaint in seeded.logs("mydb", "cron", "ERROR"))
    bare = "No table_name provided for schedule plugin"
    eventually(lambda: bare in seeded.logs("mydb", "bare", "ERROR"))

    seeded.write("mydb", "cpu v=1")
    before = seeded.logs("mydb", "every", "ERROR").count(complaint)
    finished = len(seeded.logs("mydb", "every", "INFO"))
    eventually(lambda: len(seeded.logs("mydb", "every", "INFO")) >= finished + 4)
    assert seeded.logs("mydb", "every", "ERROR").count(complaint) <= before + 1


def test_the_request_sample_answers_in_the_order_of_the_document(seeded: Server) -> None:
    seeded.trigger("mydb", "web", "request:my_plugin", "request_plugin.py")
    headers = {"Content-Type": "application/json", "X-Test": "yes"}

    answer = seeded.request(
        "POST", "/api/v3/engine/my_plugin", json.dumps({"a": [1]}), headers, color="red"
    )

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"status": "ok", "line": "request_data,tag1=tag1_value field1=1i"}
    assert seeded.sql("mydb", "SELECT tag1, field1 FROM request_data") == [
        {"tag1": "tag1_value", "field1": 1}
    ]
    lines = seeded.logs("mydb", "web")
    assert "query_parameters: color=red" in lines
    assert "request_headers: x-test=yes" in lines
    assert "parsed JSON request body: {'a': [1]}" in lines


def test_request_paths_are_unique_over_all_databases(seeded: Server) -> None:
    seeded.create_database("other")
    first = seeded.trigger("mydb", "hello-world", "request:hello-world", "request_plugin.py")

    second = seeded.trigger("other", "hello-too", "request:hello-world", "request_plugin.py")

    assert (first.status, second.status) == (200, 409)


def run_snippet(server: Server, code: str) -> list[str]:
    """Run lines of a document as the body of a request plugin, and return what it logged."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    server.plugin(
        "snippet.py",
        "import time\n\n"
        "def process_request(influxdb3_local, query, headers, body, args=None):\n"
        f"{body}    return 'done'\n",
    )
    server.trigger("mydb", "snippet", "request:snippet", "snippet.py")
    answer = server.request("GET", "/api/v3/engine/snippet")
    assert (answer.status, answer.text) == (200, "done")
    framework = ("starting execution", "finished execution")
    return [line for line in server.logs("mydb", "snippet") if not line.startswith(framework)]


def test_the_line_builder_sample_builds_and_writes_its_line(seeded: Server) -> None:
    logged = run_snippet(
        seeded,
        'line = LineBuilder("weather")\n'
        'line.tag("location", "us-midwest")\n'
        'line.float64_field("temperature", 82.5)\n'
        "line.time_ns(1627680000000000000)\n"
        "influxdb3_local.write(line)\n"
        "\n"
        "# Output line protocol as a string\n"
        "line_str = line.build()\n"
        "influxdb3_local.info(line_str)",
    )

    assert logged == [LINE]
    assert seeded.sql("mydb", "SELECT location, temperature, time FROM weather") == [
        {"location": "us-midwest", "temperature": 82.5, "time": "2021-07-30T21:20:00"}
    ]


def test_the_query_samples_bind_values_and_a_table(seeded: Server) -> None:
    seeded.write("mydb", 'foo,bar=baz v=1\nfoo,bar=other v=2\nfoo,bar=baz v=3 1\nfoo bar2="x"')
    seeded.write("mydb", "metrics value=91\nmetrics value=89 1000000000000")

    logged = run_snippet(
        seeded,
        "rows = influxdb3_local.query("
        "\"SELECT * from foo where bar = 'baz' and time > now() - 'interval 1 hour'\")\n"
        "influxdb3_local.info(len(rows))\n"
        'args = {"bar": "baz"}\n'
        "rows = influxdb3_local.query("
        "\"SELECT * from foo where bar = $bar and time > now() - 'interval 1 hour'\", args)\n"
        "influxdb3_local.info(len(rows), rows[0]['v'], type(rows[0]['time']).__name__)\n"
        "results = influxdb3_local.query("
        "\"SELECT * FROM metrics WHERE time > now() - INTERVAL '1 hour'\")\n"
        "influxdb3_local.info(len(results))\n"
        'params = {"table": "metrics", "threshold": 90}\n'
        'results = influxdb3_local.query("SELECT * FROM $table WHERE value > $threshold", params)\n'
        "influxdb3_local.info(results[0]['value'])",
    )

    assert logged == ["1", "1 1.0 int", "1", "91.0"]


def test_the_logging_samples_join_their_arguments(seeded: Server) -> None:
    run_snippet(
        seeded,
        'influxdb3_local.info("Starting data processing")\n'
        'influxdb3_local.warn("Could not process some records")\n'
        'influxdb3_local.error("Failed to connect to external API")\n'
        'obj_to_log = {"records": 157, "errors": 3}\n'
        'influxdb3_local.info("Processing complete", obj_to_log)',
    )

    assert "Processing complete {'records': 157, 'errors': 3}" in seeded.logs(
        "mydb", "snippet", "INFO"
    )
    assert seeded.logs("mydb", "snippet", "WARN") == ["Could not process some records"]
    assert seeded.logs("mydb", "snippet", "ERROR") == ["Failed to connect to external API"]


CACHE_SAMPLE = """\
influxdb3_local.cache.put("last_run_time", time.time())
last_time = influxdb3_local.cache.get("last_run_time", default=0)
influxdb3_local.info(last_time > 0)
influxdb3_local.info(influxdb3_local.cache.delete("temporary_data"))
influxdb3_local.cache.put("api_response", {"a": 1}, ttl=300)
influxdb3_local.cache.put("config", {"version": "1.0"}, use_global=True)
config = influxdb3_local.cache.get("config", use_global=True)
influxdb3_local.info(config, influxdb3_local.cache.get("config"))
if not influxdb3_local.cache.get("lookup_table"):
    influxdb3_local.cache.put("lookup_table", {1: "one"})
influxdb3_local.info(influxdb3_local.cache.get("lookup_table"))
"""


def test_the_cache_samples_keep_the_two_namespaces_apart(seeded: Server) -> None:
    logged = run_snippet(seeded, CACHE_SAMPLE)

    assert logged == ["True", "False", "{'version': '1.0'} None", "{1: 'one'}"]


COUNTER_SAMPLE = """\
def process_request(influxdb3_local, query, headers, body, args=None):
    if "look" in query:
        return "looked"

    # Get current counter or default to 0
    counter = influxdb3_local.cache.get("execution_count", default=0)

    # Increment counter
    counter += 1

    # Store the updated value
    influxdb3_local.cache.put("execution_count", counter)

    influxdb3_local.info(f"This plugin has run {counter} times")
    return str(counter)
"""


def test_the_counter_sample_counts_its_runs_even_when_its_worker_is_killed(seeded: Server) -> None:
    seeded.plugin("counter.py", COUNTER_SAMPLE)
    seeded.trigger("mydb", "counter", "request:count", "counter.py")

    counts = [seeded.request("GET", "/api/v3/engine/count").text for _ in range(3)]
    # A run's copies of the cache leave before the next run's answer.
    assert seeded.request("GET", "/api/v3/engine/count", look="1").text == "looked"
    [worker] = seeded.workers()
    worker.kill()
    counts.append(eventually(lambda: _count(seeded)))

    assert counts == ["1", "2", "3", "4"]


def _count(server: Server) -> str:
    answer = server.request("GET", "/api/v3/engine/count")
    return answer.text if answer.status == 200 else ""
