import pytest

from worker.wire import Fault, LocalWireError, RemoteWireError, Session, State
from worker.wire import messages as m

HELLO = m.Hello(b"token", 1, 1, 42, "3.11", 0)
RESULT = m.Result(None, None)


class Pair:
    """Both ends of a lane without a wire."""

    def __init__(self) -> None:
        self.engine = Session("engine")
        self.worker = Session("worker")

    def say(self, *messages: m.Message) -> None:
        for message in messages:
            ends = self.worker, self.engine
            speaker, listener = ends if isinstance(message, m.FromWorker) else ends[::-1]
            speaker.sent(message)
            listener.received(message)


def _ready() -> Pair:
    pair = Pair()
    pair.say(HELLO, m.Welcome(1, 1), m.Restore("k", b"v", None), m.Ready())
    return pair


def test_a_whole_conversation_is_legal_for_both_ends() -> None:
    pair = _ready()

    pair.say(m.Load("p.py", "", None), m.WalRun("r1", ()))
    pair.say(m.QueryCall("q", None, None), m.QueryReply(m.Block("", 0, ())))
    pair.say(m.WriteCall(None, "l", False), m.FaultReply(Fault("c", "m")))
    pair.say(m.Lines(None, "l"), m.Lines("db", "l"), RESULT, m.Mirror("k", None, None, "live"))
    pair.say(m.RequestRun("r2", {}, {}, b""), m.Head(200, (), None))
    pair.say(m.Chunk(b"a"), m.DoneReply(), m.Chunk(b"b"), m.FaultReply(Fault("c", "m")), RESULT)
    pair.say(m.ScheduledRun("r3", 1), RESULT, m.Stop())

    assert pair.engine.state is pair.worker.state is State.STOPPED


@pytest.mark.parametrize(
    "message",
    [RESULT, m.Ready(), m.Lines(None, ""), m.QueryCall("q", None, None), HELLO, m.Stop()],
)
def test_a_worker_that_speaks_out_of_turn_is_found_out_by_both(message: m.Message) -> None:
    pair = _ready()

    with pytest.raises(RemoteWireError):
        pair.engine.received(message)
    with pytest.raises(LocalWireError):
        pair.worker.sent(message)
    assert pair.engine.state is pair.worker.state is State.IDLE


def test_notes_are_legal_at_any_time_after_hello() -> None:
    pair = Pair()
    log = m.Log("INFO", "x", 1)
    with pytest.raises(RemoteWireError, match="Log from the worker while await_hello"):
        pair.engine.received(log)

    pair.say(HELLO, log, m.Cancel(), m.Welcome(1), log, m.Ready(), m.Cancel(), log)
    pair.say(m.WalRun("r", ()), log, m.QueryCall("q", None, None), log, m.Cancel())

    assert pair.engine.state is State.CALLING


def test_an_event_during_a_run_is_refused() -> None:
    pair = _ready()
    pair.say(m.WalRun("r", ()))

    with pytest.raises(RemoteWireError, match="WalRun from the engine while running"):
        pair.worker.received(m.WalRun("r2", ()))


def test_a_session_describes_itself() -> None:
    assert repr(Session("engine")) == "<Session of the engine: await_hello>"
