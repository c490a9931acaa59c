from __future__ import annotations

import httpx
import pyarrow as pa
import pytest

from engine.ingest.internal import DeadLetter, pack_event
from engine.model.event import ScheduledEvent, TableBatch, WalEvent
from tests.http_services import EdgeParts

PATH = "/api/v3/configure/dead_letters"
SECOND_NS = 10**9
ROWS = pa.RecordBatch.from_pydict(
    {
        "room": pa.array(["attic", None]).dictionary_encode(),
        "temp": [31.5, 20.0],
        "n": pa.array([1, 2**64 - 1], pa.uint64()),
        "time": pa.array([1_700_000_000 * SECOND_NS + 7, 0], pa.timestamp("ns")),
    }
)
EVENT = WalEvent(41, 43, (TableBatch(7, "climate", ROWS),), (3,))
WAL = DeadLetter(
    1_700_000_001 * SECOND_NS,
    "db",
    "watch",
    "one",
    "open",
    "wal_rows",
    position_from=41,
    position_to=43,
    rows=2,
    attempts=10,
    error_code="plugin_failed",
    error="KeyError: 'limit'\nFile ...",
    event=pack_event(EVENT),
)
TICK = DeadLetter(
    1_700_000_002 * SECOND_NS,
    "db",
    "hourly",
    "two",
    "retried",
    "schedule",
    tick=1_700_000_000 * SECOND_NS,
    event=pack_event(ScheduledEvent(1_700_000_000 * SECOND_NS)),
)


@pytest.fixture
def letters(parts: EdgeParts) -> EdgeParts:
    parts.letters.known = [WAL, TICK]
    return parts


def test_list_has_the_open_letters_or_all_without_their_events(
    client: httpx.Client, letters: EdgeParts
) -> None:
    is_open = client.get(PATH, params={"db": "db"}).json()
    every = client.get(PATH, params={"db": "_internal", "state": "all"}).json()

    assert [letter["id"] for letter in is_open] == ["one"]
    assert [letter["id"] for letter in every] == ["one", "two"]
    assert "event" not in is_open[0]
    assert is_open[0]["time"] == "2023-11-14T22:13:21.000000000Z"


def test_letter_of_rows_is_shown_with_its_rows_by_table(
    client: httpx.Client, letters: EdgeParts
) -> None:
    shown = client.get(f"{PATH}/one", params={"db": "db"}).json()

    assert shown["error"] == "KeyError: 'limit'\nFile ..."
    assert (shown["position_from"], shown["position_to"], shown["tick"]) == (41, 43, None)
    assert shown["event"] == {
        "tables": [
            {
                "table_name": "climate",
                "rows": [
                    {
                        "room": "attic",
                        "temp": 31.5,
                        "n": 1,
                        "time": "2023-11-14T22:13:20.000000007Z",
                    },
                    {"temp": 20.0, "n": 2**64 - 1, "time": "1970-01-01T00:00:00.000000000Z"},
                ],
            }
        ]
    }


def test_letter_of_a_schedule_is_shown_with_its_time(
    client: httpx.Client, letters: EdgeParts
) -> None:
    shown = client.get(f"{PATH}/two", params={"db": "db"}).json()

    assert shown["tick"] == "2023-11-14T22:13:20.000000000Z"
    assert shown["event"] == {"scheduled_time": "2023-11-14T22:13:20.000000000Z"}


def test_retry_and_drop_go_to_the_letters(client: httpx.Client, letters: EdgeParts) -> None:
    assert client.post(f"{PATH}/one/retry", params={"db": "db"}).status_code == 200
    assert client.delete(f"{PATH}/one", params={"db": "db"}).status_code == 200

    assert (letters.letters.retried, letters.letters.dropped) == (["one"], ["one"])


@pytest.mark.parametrize(("method", "path"), [("POST", "/two/retry"), ("DELETE", "/two")])
def test_letter_that_is_not_open_is_a_conflict_with_a_text(
    client: httpx.Client, letters: EdgeParts, method: str, path: str
) -> None:
    answer = client.request(method, PATH + path, params={"db": "db"})

    assert answer.status_code == 409
    assert answer.text.startswith("dead letter two is not open: ")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/none"), ("POST", "/none/retry"), ("DELETE", "/none")]
)
def test_unknown_letter_is_not_found(
    client: httpx.Client, letters: EdgeParts, method: str, path: str
) -> None:
    answer = client.request(method, PATH + path, params={"db": "db"})

    assert answer.status_code == 404
    assert "dead letter none" in answer.text


@pytest.mark.parametrize("params", [{}, {"db": "db", "state": "shut"}])
def test_list_refuses_what_it_does_not_understand(
    client: httpx.Client, letters: EdgeParts, params: dict[str, str]
) -> None:
    assert client.get(PATH, params=params).status_code == 400
