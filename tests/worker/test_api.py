"""The shared API of a run against a lane that is a list."""

from __future__ import annotations

import pytest

from worker.api import Local, QueryError, buffered_lines, clean
from worker.cache import Namespace
from worker.line_builder import InvalidLineError, LineBuilder
from worker.wire import LIMITS, Fault, encode
from worker.wire import messages as m


class ListLane:
    """Keeps what is said and answers from a list."""

    def __init__(self) -> None:
        self.owner: object = None
        self.notes: list[m.Message] = []
        self.calls: list[m.Message] = []
        self.replies: list[m.Message] = []

    def check(self) -> None:
        pass

    def note(self, message: m.Message) -> None:
        self.notes.append(message)

    def call(self, message: m.Message, owner: object, *, is_cancellable: bool = True) -> m.Message:
        encode(message)
        self.calls.append(message)
        return self.replies.pop(0)


class Built:
    """Something with `build`, as plugins make them."""

    def __init__(self, lines: object) -> None:
        self.lines = lines

    def build(self) -> object:
        return self.lines


@pytest.fixture
def lane() -> ListLane:
    return ListLane()


@pytest.fixture
def local(lane: ListLane) -> Local:
    lane.owner = Local(lane, Namespace(), "db")  # type: ignore[arg-type]
    return lane.owner


def test_log_arguments_are_joined_by_spaces(local: Local, lane: ListLane) -> None:
    local.info("a", 1, {"b": 2})
    local.warn()
    local.error("lone \ud800")

    assert [(note.level, note.text) for note in lane.notes] == [
        ("INFO", "a 1 {'b': 2}"),
        ("WARN", ""),
        ("ERROR", "lone ?"),
    ]


def test_only_the_documented_names_are_there(local: Local) -> None:
    names = {name for name in dir(local) if not name.startswith("_")}

    assert names == {
        "cache",
        "error",
        "info",
        "query",
        "warn",
        "write",
        "write_sync",
        "write_sync_to_db",
        "write_to_db",
    }
    with pytest.raises(AttributeError):
        local.mine = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        local.cache = None  # type: ignore[misc, assignment]


def test_buffered_lines_are_grouped_by_database_in_order_of_the_calls(local: Local) -> None:
    local.write(Built("a f=1\nb f=1"))
    local.write_to_db("other", Built("c f=1"))
    local.write(LineBuilder("d").int64_field("f", 1))

    assert buffered_lines(local) == [
        m.Lines(None, "a f=1\nb f=1\nd f=1i"),
        m.Lines("other", "c f=1"),
    ]


def test_many_lines_leave_in_parts_that_are_whole_lines(local: Local) -> None:
    text = "m f=" + "1" * (LIMITS.lines_characters // 3)
    for _ in range(5):
        local.write(Built(text))

    parts = buffered_lines(local)

    assert [part.text.count("m f=") for part in parts] == [2, 2, 1]
    assert "\n".join(part.text for part in parts) == "\n".join([text] * 5)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("m f=1", AttributeError),
        (Built(b"m f=1"), TypeError),
        (Built(None), TypeError),
        (Built("m f=\ud800"), UnicodeEncodeError),
        (LineBuilder("m"), InvalidLineError),
    ],
)
def test_what_does_not_build_raises_at_the_call(
    local: Local, line: object, kind: type[Exception]
) -> None:
    for write in (local.write, lambda line: local.write_sync(line, no_sync=True)):
        with pytest.raises(kind):
            write(line)
    assert buffered_lines(local) == []


def test_the_internal_database_is_refused_by_every_write(lane: ListLane) -> None:
    lane.owner = inside = Local(lane, Namespace(), "_internal")  # type: ignore[arg-type]
    line = Built("m f=1")

    for attempt in (
        lambda: inside.write(line),
        lambda: inside.write_to_db("_internal", line),
        lambda: inside.write_sync(line, True),
        lambda: inside.write_sync_to_db("_internal", line, no_sync=True),
    ):
        with pytest.raises(Exception, match="cannot write to the database _internal"):
            attempt()
    assert lane.calls == []


def test_a_write_at_once_is_a_call(local: Local, lane: ListLane) -> None:
    lane.replies = [m.DoneReply(), m.DoneReply(), m.FaultReply(Fault("x", "Cannot write: y"))]

    local.write_sync(Built("m f=1"), True)
    local.write_sync_to_db("other", Built("m f=1"))
    with pytest.raises(Exception, match=r"^Cannot write: y$") as caught:
        local.write_sync(Built("m f=1"), no_sync=False)

    assert type(caught.value) is Exception
    assert lane.calls[:2] == [
        m.WriteCall(None, "m f=1", True),
        m.WriteCall("other", "m f=1", False),
    ]


def test_a_failed_query_is_a_query_error(local: Local, lane: ListLane) -> None:
    lane.replies = [m.FaultReply(Fault("x", "not found")), m.DoneReply()]

    for complaint in ("^not found$", "answered with DoneReply"):
        with pytest.raises(QueryError, match=complaint):
            local.query("q")
    assert QueryError.__module__ == "influxdb3_py_api"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ((1,), TypeError),
        (("q", []), TypeError),
        (("q", {1: "x"}), TypeError),
        (("q", {"x": object()}), TypeError),
        (("q", None, 5), TypeError),
        (("\ud800",), ValueError),
    ],
)
def test_a_query_that_cannot_be_sent_is_refused(
    local: Local, lane: ListLane, arguments: tuple[object, ...], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        local.query(*arguments)  # type: ignore[arg-type]
    assert lane.calls == []


def test_after_the_run_only_logs_and_the_own_cache_work(local: Local, lane: ListLane) -> None:
    lane.owner = None

    local.info("late")
    local.cache.put("k", 1)

    assert local.cache.get("k") == 1
    assert len(lane.notes) == 1
    for attempt in (
        lambda: local.write(Built("m f=1")),
        lambda: local.write_sync(Built("m f=1"), True),
        lambda: local.query("q"),
        lambda: local.cache.get("k", use_global=True),
    ):
        with pytest.raises(RuntimeError, match="the run has ended"):
            attempt()


def test_a_text_is_cut_to_what_a_message_may_hold() -> None:
    assert clean("x" * (LIMITS.text_characters + 1)) == "x" * LIMITS.text_characters + "..."
