from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.event import Crashed, Failed, OverLimit, ProtocolBroken, Succeeded, TimedOut
from engine.model.trigger import ErrorBehavior
from engine.workers import moves
from engine.workers.lifecycle import step

DONE = Succeeded((), None)


def policy(
    behavior: ErrorBehavior = ErrorBehavior.LOG, *, is_request: bool = False
) -> moves.Policy:
    return moves.Policy(behavior, is_request=is_request, max_deaths=3, max_attempts=4)


def running(**changes: int) -> moves.State:
    return moves.State(moves.Phase.RUNNING, has_worker=True, has_event=True, **changes)


def recorded(step_: moves.Step) -> list[str]:
    return [effect.text for effect in step_.effects if isinstance(effect, moves.RecordError)]


def test_an_event_goes_from_arrival_over_commit_back_to_waiting() -> None:
    state = moves.State(moves.Phase.READY, has_worker=True)

    arrived = step(state, moves.WorkArrived(), policy())
    ran = step(arrived.state, moves.Ran(DONE), policy())
    committed = step(ran.state, moves.Committed(), policy())

    assert arrived.action == moves.RunEvent()
    assert ran.action == moves.Commit(DONE)
    assert committed.action == moves.AwaitWork()
    assert committed.state == state


def test_changed_code_or_packages_get_a_fresh_worker_and_keep_the_event() -> None:
    resting = moves.State(moves.Phase.READY, has_worker=True)

    for state, then in ((resting, moves.AwaitWork()), (running(failures=2), moves.RunEvent())):
        changed = step(state, moves.CodeChanged(), policy())
        started = step(changed.state, moves.Started(), policy())

        assert (changed.effects, changed.action) == ((moves.KillWorker(),), moves.Spawn())
        assert (started.state, started.action) == (state, then)


def test_a_failed_run_under_log_is_recorded_and_passed_over() -> None:
    after = step(running(), moves.Ran(Failed("ValueError: x", "line 3")), policy())

    assert recorded(after) == ["ValueError: x\nline 3"]
    assert after.action == moves.Commit(None)


def test_a_failed_run_under_retry_keeps_the_event_until_the_attempts_are_used_up() -> None:
    state = running()
    actions = []
    for _ in range(4):
        after = step(state, moves.Ran(Failed("ValueError: x", "")), policy(ErrorBehavior.RETRY))
        actions.append(after.action)
        state = after.state
        if isinstance(after.action, moves.Pause):
            state = step(state, moves.PauseOver(), policy(ErrorBehavior.RETRY)).state

    kept = moves.GivenUp(Failed("ValueError: x", ""), "ValueError: x", attempts=4)
    assert actions == [moves.Pause(2), moves.Pause(3), moves.Pause(4), moves.Commit(None, kept)]
    assert "given up after 4 attempts" in recorded(after)[-1]


def test_a_failed_run_under_disable_ends_the_trigger_and_persists_it() -> None:
    after = step(running(), moves.Ran(Failed("ValueError: x", "")), policy(ErrorBehavior.DISABLE))

    assert after.action == moves.Disable()
    assert moves.KillWorker() in after.effects
    assert step(after.state, moves.Disabled(), policy()).action == moves.End()


def test_a_trigger_that_cannot_be_disabled_runs_nothing_and_tries_again() -> None:
    state = step(
        running(), moves.Ran(Failed("ValueError: x", "")), policy(ErrorBehavior.DISABLE)
    ).state
    for attempt in (2, 3):
        failed = step(state, moves.DisableFailed("disk full"), policy())
        again = step(failed.state, moves.PauseOver(), policy())
        state = again.state

        assert "disk full" in recorded(failed)[0]
        assert (failed.action, again.action) == (moves.Pause(attempt), moves.Disable())

    assert step(state, moves.Displaced(), policy()).action == moves.Disable()
    assert step(state, moves.Unwanted(), policy()).action == moves.End()


def test_a_death_that_other_events_share_counts_for_none_of_them() -> None:
    state = running(deaths=2)
    for _ in range(5):
        after = step(state, moves.Ran(Crashed("killed by SIGSEGV", "", is_shared=True)), policy())
        assert isinstance(after.action, moves.Pause)
        state = step(after.state, moves.PauseOver(), policy()).state
        state = step(state, moves.Started(), policy()).state

    last = step(state, moves.Ran(Crashed("killed by SIGSEGV", "")), policy())

    assert isinstance(last.action, moves.Commit)
    assert last.action.given_up is not None
    assert last.action.given_up.attempts == 8
    assert "each is run alone" in recorded(after)[0]


def test_a_request_is_answered_whoever_shared_its_process() -> None:
    outcome = Crashed("killed by SIGKILL", "", is_shared=True)

    after = step(running(), moves.Ran(outcome), policy(is_request=True))

    assert moves.GiveUpEvent(outcome) in after.effects


def test_a_death_delivers_the_event_again_until_the_limit_whatever_the_policy() -> None:
    state = running()
    deaths = []
    for _ in range(3):
        after = step(state, moves.Ran(Crashed("killed by SIGSEGV", "")), policy())
        deaths.append(after.action)
        state = step(after.state, moves.PauseOver(), policy()).state
        state = step(state, moves.Started(), policy()).state

    outcome = Crashed("killed by SIGSEGV", "")
    kept = moves.GivenUp(outcome, "worker killed by SIGSEGV", attempts=3)
    assert deaths == [moves.Pause(1), moves.Pause(2), moves.Commit(None, kept)]
    assert "it ended the worker 3 times" in recorded(after)[-1]


def test_after_a_death_a_fresh_worker_runs_the_same_event() -> None:
    died = step(running(), moves.Ran(Crashed("exited with status 3", "")), policy())
    spawned = step(died.state, moves.PauseOver(), policy())
    started = step(spawned.state, moves.Started(), policy())

    assert spawned.action == moves.Spawn()
    assert started.action == moves.RunEvent()


def test_a_request_whose_worker_dies_is_answered_and_not_repeated() -> None:
    outcome = Crashed("killed by SIGKILL", "")

    after = step(running(), moves.Ran(outcome), policy(is_request=True))

    assert moves.GiveUpEvent(outcome) in after.effects
    assert not after.state.has_event


def test_a_run_past_its_limit_or_the_protocol_is_killed_and_counts_as_failed() -> None:
    for outcome in (TimedOut(300.0), OverLimit("killed: x"), ProtocolBroken("garbage")):
        after = step(running(), moves.Ran(outcome), policy())

        assert after.effects[0] == moves.KillWorker()
        assert after.action == moves.Commit(None)
        assert step(after.state, moves.Committed(), policy()).action == moves.Spawn()


def test_a_run_over_a_limit_of_its_trigger_is_an_error_and_no_death() -> None:
    outcome = OverLimit("killed: memory 512 MiB, peak 517 MiB")

    after = step(running(), moves.Ran(outcome), policy(ErrorBehavior.RETRY))

    assert recorded(after) == ["worker killed: memory 512 MiB, peak 517 MiB"]
    assert (after.state.failures, after.state.deaths) == (1, 0)
    assert after.action == moves.Pause(2)
    assert not after.state.has_worker


def test_events_that_were_together_in_a_process_over_its_limit_are_each_run_again_alone() -> None:
    outcome = OverLimit("killed: memory 512 MiB, peak 517 MiB", is_shared=True)

    after = step(running(), moves.Ran(outcome), policy())

    assert after.state.has_event
    assert (after.state.failures, after.state.deaths) == (0, 0)
    assert isinstance(after.action, moves.Pause)


def test_a_worker_that_does_not_start_is_tried_again_later_and_those_who_wait_are_told() -> None:
    first = step(moves.State(), moves.StartFailed("no python"), policy(is_request=True))
    second = step(first.state, moves.StartFailed("no python"), policy(is_request=True))

    assert first.action == moves.Pause(2)
    assert first.state.phase is moves.Phase.BROKEN
    assert second.action == moves.Pause(3)
    assert any(isinstance(effect, moves.RefuseWaiting) for effect in first.effects)


def test_a_worker_that_ends_between_events_restarts_at_once_the_first_time_only() -> None:
    idle = moves.State(moves.Phase.READY, has_worker=True)

    first = step(idle, moves.WorkerLost("killed by SIGKILL", uptime_was_stable=True), policy())
    again = step(first.state, moves.WorkerLost("exited", uptime_was_stable=False), policy())

    assert first.action == moves.Pause(1)
    assert again.action == moves.Pause(2)


def test_a_commit_that_the_log_does_not_take_runs_the_event_again() -> None:
    state = moves.State(moves.Phase.COMMITTING, has_worker=True, has_event=True)

    failed = step(state, moves.CommitFailed("disk"), policy(ErrorBehavior.DISABLE))
    again = step(failed.state, moves.PauseOver(), policy())

    assert isinstance(failed.action, moves.Pause)
    assert again.action == moves.RunEvent()


@pytest.mark.parametrize("behavior", ErrorBehavior)
def test_a_run_that_the_engine_let_down_is_repeated_without_a_limit(
    behavior: ErrorBehavior,
) -> None:
    state = running()

    for _ in range(20):
        let_down = step(
            state, moves.Ran(Failed("disk is full", "", is_ours=True)), policy(behavior)
        )
        assert isinstance(let_down.action, moves.Pause)
        state = step(let_down.state, moves.PauseOver(), policy(behavior)).state

    assert state.phase is moves.Phase.RUNNING
    assert (state.failures, state.deaths) == (0, 0)


def test_a_request_that_the_engine_let_down_is_answered() -> None:
    failure = Failed("disk is full", "", is_ours=True)

    let_down = step(running(), moves.Ran(failure), policy(is_request=True))

    assert moves.GiveUpEvent(failure) in let_down.effects
    assert let_down.action == moves.AwaitWork()


def test_a_request_whose_worker_was_stopped_for_another_lane_is_not_repeated() -> None:
    displaced = step(running(), moves.Displaced(), policy(is_request=True))

    [given_up] = [each for each in displaced.effects if isinstance(each, moves.GiveUpEvent)]
    assert isinstance(given_up.outcome, Crashed)
    assert displaced.action == moves.Spawn()
    assert not displaced.state.has_event


def test_a_request_that_the_log_does_not_take_is_answered_and_not_repeated() -> None:
    state = moves.State(moves.Phase.COMMITTING, has_worker=True, has_event=True)

    failed = step(state, moves.CommitFailed("disk"), policy(is_request=True))

    assert moves.GiveUpEvent(Failed("disk", "")) in failed.effects
    assert failed.action == moves.AwaitWork()


def test_an_event_whose_worker_was_stopped_for_another_lane_is_run_again_uncounted() -> None:
    displaced = step(running(), moves.Displaced(), policy())
    started = step(displaced.state, moves.Started(), policy())

    assert displaced.action == moves.Spawn()
    assert (displaced.state.deaths, displaced.state.crashes) == (0, 0)
    assert started.action == moves.RunEvent()


HAPPENINGS = st.one_of(
    st.just(moves.Displaced()),
    st.just(moves.Wanted()),
    st.just(moves.Started()),
    st.just(moves.StartFailed("x")),
    st.builds(moves.WorkerLost, st.just("x"), st.booleans()),
    st.just(moves.WorkArrived()),
    st.just(moves.CodeChanged()),
    st.just(moves.Committed()),
    st.just(moves.CommitRefused("x", "c")),
    st.just(moves.CommitFailed("x")),
    st.just(moves.PauseOver()),
    st.builds(
        moves.Ran,
        st.sampled_from(
            [
                DONE,
                Failed("x", ""),
                Crashed("x", ""),
                TimedOut(1.0),
                OverLimit("x"),
                OverLimit("x", is_shared=True),
                ProtocolBroken("x"),
            ]
        ),
    ),
)


@given(
    st.lists(HAPPENINGS, max_size=20),
    st.sampled_from(ErrorBehavior),
    st.booleans(),
)
def test_from_everywhere_being_unwanted_ends_the_worker(
    happenings: list[moves.Happening], behavior: ErrorBehavior, is_request: bool
) -> None:
    rules = policy(behavior, is_request=is_request)
    state = moves.State()
    for happening in happenings:
        state = step(state, happening, rules).state

    after = step(state, moves.Unwanted(), rules)

    assert after.action == moves.End()
    assert moves.KillWorker() in after.effects


@given(st.lists(HAPPENINGS, max_size=20), st.sampled_from(ErrorBehavior))
def test_an_event_runs_only_in_a_worker_that_is_up(
    happenings: list[moves.Happening], behavior: ErrorBehavior
) -> None:
    state = moves.State()
    for happening in happenings:
        after = step(state, happening, policy(behavior))
        state = after.state
        if isinstance(after.action, moves.RunEvent):
            assert state.has_worker
            assert state.has_event


def test_an_event_that_cannot_be_read_is_waited_for() -> None:
    state = moves.State(moves.Phase.READY, has_worker=True)

    for _ in range(3):
        failed = step(state, moves.ReadFailed("the disk is ill"), policy())
        assert recorded(failed) == ["the disk is ill"]
        assert isinstance(failed.action, moves.Pause)
        going_on = step(failed.state, moves.PauseOver(), policy())
        assert going_on.action == moves.AwaitWork()
        state = going_on.state
