import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from engine.logs import LineFormatter, LogRing, set_up_logging, visible


def _record(message: str, **facts: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "engine.x", "levelname": "INFO", "msg": message})
    record.created = 1_735_689_600.25
    vars(record).update(facts)
    return record


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_record_is_one_line_with_its_facts() -> None:
    record = _record("worker died", trigger="t 1", status=3, note="", said='a "b"')

    assert LineFormatter().format(record) == (
        "2025-01-01T00:00:00.250Z INFO engine.x worker died "
        'trigger="t 1" status=3 note="" said="a \\"b\\""'
    )


def test_control_characters_cannot_forge_a_line_or_reach_the_terminal() -> None:
    text = LineFormatter().format(_record("a\nERROR b", trigger="\x1b[31m\u202e"))

    assert text.endswith("a\\nERROR b trigger=\\x1b[31m\\u202e")


def test_other_characters_stay_as_they_are() -> None:
    assert visible("tab\there, ä, 😀, \\") == "tab\\there, ä, 😀, \\"


def test_traceback_follows_on_indented_lines() -> None:
    record = _record("failed")
    try:
        {}["missing\nkey"]
    except KeyError:
        record.exc_info = sys.exc_info()

    first, *rest = LineFormatter().format(record).splitlines()

    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in rest)
    assert rest[0] == "    Traceback (most recent call last):"


@pytest.mark.usefixtures("_logging_restored")
def test_set_up_sends_records_and_warnings_of_the_level_to_the_stream() -> None:
    stream = io.StringIO()

    set_up_logging("INFO", stream)
    logging.getLogger("a").info("hello %s", "you", extra={"n": 1})
    logging.getLogger("a").debug("not this")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)

    first, second = stream.getvalue().splitlines()
    assert first.endswith("INFO a hello you n=1")
    assert "WARNING py.warnings" in second


def test_ring_returns_columns_oldest_first() -> None:
    ring = LogRing()
    ring.add(1, "t", "INFO", "one")
    ring.add(2, "u", "ERROR", "two", "run-1")

    assert ring.rows() == (
        [1, 2],
        ["t", "u"],
        ["INFO", "ERROR"],
        ["one", "two"],
        ["", "run-1"],
    )
    assert repr(ring) == "<LogRing: 2 of 10000 lines>"


def test_empty_ring_has_empty_columns() -> None:
    assert LogRing().rows() == ([], [], [], [], [])


def test_full_ring_forgets_the_oldest() -> None:
    ring = LogRing(capacity=2)
    for n in range(5):
        ring.add(n, "t", "INFO", str(n))

    assert ring.rows().texts == ["3", "4"]


def test_long_texts_are_cut_and_cannot_fill_the_memory() -> None:
    ring = LogRing()
    for n in range(1100):
        ring.add(n, "t", "INFO", "x" * 100_000)

    lines = ring.rows()
    assert lines.texts[-1].endswith("x... (34464 more characters)")
    assert sum(map(len, lines.texts)) <= 64 * 1024 * 1024
    assert lines.times_ns[-1] == 1099


def test_ring_takes_lines_of_many_threads() -> None:
    ring = LogRing(capacity=500)

    def add() -> None:
        for n in range(300):
            ring.add(n, "t", "INFO", "x")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ring.rows().texts) == 500
