"""The environment of a trigger over HTTP."""

import httpx
import pytest

from engine.errors import InvalidParameter, NotFound
from tests.http_services import CHANGE, DESCRIPTION, EdgeParts

PATH = "/api/v3/configure/plugin_environment"
ROLLBACK = f"{PATH}/rollback"
REPAIR = f"{PATH}/repair"
TRIGGER = {"db": "db", "trigger_name": "t"}


@pytest.mark.parametrize(("params", "whose"), [(TRIGGER, ("db", "t")), ({}, (None, None))])
def test_an_environment_is_described(
    client: httpx.Client, parts: EdgeParts, params: dict, whose: tuple
) -> None:
    answer = client.get(PATH, params=params)

    history = [
        {"lock": "a" * 16, "at": "1970-01-01T00:00:00.000000000Z", "reason": "created"},
        {"lock": "b" * 16, "at": "2023-11-14T22:13:20.000000000Z", "reason": "upgraded"},
    ]
    assert answer.status_code == 200
    assert answer.json() == {**DESCRIPTION.to_json(), "history": history}
    assert parts.provisions.seen == [("describe", *whose)]


@pytest.mark.parametrize(
    ("body", "call"),
    [
        (TRIGGER, ("rollback", "db", "t", None)),
        ({**TRIGGER, "lock": "a" * 16}, ("rollback", "db", "t", "a" * 16)),
        ({"lock": None}, ("rollback", None, None, None)),
    ],
)
def test_a_rollback_answers_with_the_difference(
    client: httpx.Client, parts: EdgeParts, body: dict, call: tuple
) -> None:
    answer = client.post(ROLLBACK, json=body)

    assert (answer.status_code, answer.json()) == (200, CHANGE.to_json())
    assert parts.provisions.seen == [call]


@pytest.mark.parametrize(("body", "whose"), [(TRIGGER, ("db", "t")), ({}, (None, None))])
def test_a_repair_answers_with_the_difference(
    client: httpx.Client, parts: EdgeParts, body: dict, whose: tuple
) -> None:
    answer = client.post(REPAIR, json=body)

    assert (answer.status_code, answer.json()) == (200, CHANGE.to_json())
    assert parts.provisions.seen == [("repair", *whose)]


@pytest.mark.parametrize("given", [{"db": "db"}, {"trigger_name": "t"}])
def test_half_a_name_is_refused(client: httpx.Client, parts: EdgeParts, given: dict) -> None:
    answers = [
        client.get(PATH, params=given),
        client.post(ROLLBACK, json=given),
        client.post(REPAIR, json=given),
    ]

    assert [answer.status_code for answer in answers] == [400] * 3
    assert all("belong together" in answer.text for answer in answers)
    assert parts.provisions.seen == []


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("trigger t"), 404), (InvalidParameter("no such lock"), 400)]
)
def test_what_cannot_be_done_is_told(
    client: httpx.Client, parts: EdgeParts, error: Exception, status: int
) -> None:
    parts.provisions.answer = error

    answer = client.post(ROLLBACK, json=TRIGGER)

    assert (answer.status_code, answer.text) == (status, str(error))


def test_a_failure_to_describe_is_told(client: httpx.Client, parts: EdgeParts) -> None:
    parts.provisions.described = NotFound("trigger t")

    assert client.get(PATH, params=TRIGGER).status_code == 404


def test_bodies_have_to_be_called_json(client: httpx.Client) -> None:
    for path in (ROLLBACK, REPAIR):
        assert client.post(path, content=b"{}").status_code == 415
