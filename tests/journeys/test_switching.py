"""Triggers that are switched on and off, and a machine that takes away what workers need."""

from __future__ import annotations

import shutil

import psutil

from tests.serving import Server, eventually

ANSWER = """\
import os

def process_request(influxdb3_local, query, headers, body, args=None):
    if "die" in query:
        os._exit(3)
    return "ok"
"""
TRIGGERS = "/api/v3/configure/processing_engine_trigger"


def switch(server: Server, to: str) -> None:
    answer = server.request("POST", f"{TRIGGERS}/{to}", db="db", trigger_name="t")
    assert answer.status == 200, answer.text


def prepare(server: Server) -> None:
    server.create_database("db")
    server.plugin("answer.py", ANSWER)
    assert server.trigger("db", "t", "request:a", "answer.py").status == 200


def test_switching_off_and_on_leaves_no_descriptor_and_no_process_behind(server: Server) -> None:
    prepare(server)
    assert server.request("GET", "/api/v3/engine/a").text == "ok"
    process = psutil.Process(server.pid)
    before = process.num_fds()

    for _ in range(6):
        switch(server, "disable")
        assert server.workers() == []
        switch(server, "enable")
        assert server.request("GET", "/api/v3/engine/a").text == "ok"

    assert eventually(lambda: process.num_fds() <= before + 3)


def test_switching_off_while_the_worker_starts_is_no_error(server: Server) -> None:
    prepare(server)
    for _ in range(6):
        switch(server, "disable")
        switch(server, "enable")
    switch(server, "disable")

    assert server.logs("db", "t", "ERROR") == []


def test_workers_start_again_after_the_folder_of_their_sockets_was_cleaned_away(
    server: Server,
) -> None:
    prepare(server)
    assert server.request("GET", "/api/v3/engine/a").text == "ok"
    (worker,) = server.workers()
    endpoints = [c.laddr or c.raddr for c in psutil.Process(server.pid).net_connections("unix")]
    (folder,) = {str(e).rpartition("/")[0].rpartition("/")[0] for e in endpoints if e}
    assert folder.startswith("/tmp/bulkhead-")
    shutil.rmtree(folder)

    assert server.request("GET", "/api/v3/engine/a", die=1).status == 502

    assert eventually(lambda: server.request("GET", "/api/v3/engine/a").text == "ok")
    assert not worker.is_running()
