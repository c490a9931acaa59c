"""A machine that has not enough for all: what fails, and what goes on."""

from __future__ import annotations

import resource

from tests.serving import Server, eventually

ANSWER = "def process_request(influxdb3_local, query, headers, body, args=None): return 'ok'\n"


def test_more_workers_than_descriptors_cost_only_the_surplus(server: Server) -> None:
    server.create_database("db")
    server.plugin("answer.py", ANSWER)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (160, 160))

    names = [f"t{number}" for number in range(14)]
    for name in names:
        assert server.trigger("db", name, f"request:{name}", "answer.py").status == 200

    # Which of them come first is chance.
    refusal = "too many workers for the limit of 160 open files"
    eventually(lambda: any(refusal in line for line in server.output))
    answers = [server.request("GET", f"/api/v3/engine/{name}") for name in names]
    assert {answer.status for answer in answers} == {200, 502}
    assert server.write("db", "m v=1").status == 204
