"""Tests of http_echo."""

import json

from worker.response import make_response


def answer(plugin, local, **query):
    """Return status, headers and body as a client gets them."""
    returned = plugin.process_request(local, query, {"host": "here"}, b"hello", {"a": "1"})
    return make_response(returned)


def test_both_orders_reach_the_client_as_the_same_answer(plugin, local):
    flask = answer(plugin, local, status="201")
    docs = answer(plugin, local, status="201", order="docs")

    assert flask.status == docs.status == 201
    echoes = [json.loads(response.body) for response in (flask, docs)]
    assert echoes[0]["body"] == echoes[1]["body"] == "hello"
    assert all(dict(r.headers)["X-Echo-Bytes"] == "5" for r in (flask, docs))
    assert all(dict(r.headers)["Content-Type"] == "application/json" for r in (flask, docs))


def test_the_echo_holds_what_came_in(plugin, local):
    echo = json.loads(answer(plugin, local, colour="red").body)

    assert echo == {
        "query_parameters": {"colour": "red"},
        "headers": {"host": "here"},
        "body": "hello",
        "arguments": {"a": "1"},
    }
