"""A machine that has not enough for all: what fails, and what goes on."""

from __future__ import annotations

import resource

from tests.serving import Server, eventually

ANSWER = "def process_request(influxdb3_local, query, headers, body, args=None): return 'ok'\n"


def test_more_workers_than_descriptors_cost_only_the_surplus(server: Server) -> None:
    server.create_database("db")
    server.plugin("answer.py", ANSWER)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (160, 160))

    for number in range(14):
        name = f"t{number}"
        assert server.trigger("db", name, f"request:{name}", "answer.py").status == 200

    refusal = "too many workers for the limit of 160 open files"
    eventually(lambda: any(refusal in line and "trigger=t13" in line for line in server.output))
    assert server.request("GET", "/api/v3/engine/t0").text == "ok"
    assert server.write("db", "m v=1").status == 204
