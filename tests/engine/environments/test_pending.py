from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.environments.pending import Turns, failed, following, promise, settled
from engine.errors import Busy


def at_once(run: Callable[[], None]) -> None:
    run()


def test_what_follows_is_made_of_the_value_and_errors_are_passed_on() -> None:
    first: Future[int] = promise()
    second = following(following(first, lambda n: n + 1), str)

    assert not second.done()
    first.set_result(1)

    assert second.result(0) == "2"
    with pytest.raises(KeyError):
        following(failed(KeyError()), str).result(0)
    with pytest.raises(ZeroDivisionError):
        following(settled(0), lambda n: 1 // n).result(0)


def test_nobody_who_turns_away_cancels_what_is_on_its_way() -> None:
    assert not promise().cancel()


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12), st.data())
def test_things_of_a_key_follow_one_another_and_all_come_to_an_end(
    asked: list[tuple[int, bool]], data: st.DataObject
) -> None:
    turns = Turns(100, at_once)
    open_: dict[int, tuple[int, Future[int]]] = {}
    begun: list[tuple[int, int]] = []
    answers = []

    def begin(key: int, number: int, *, fails: bool) -> Future[int]:
        assert key not in open_
        begun.append((key, number))
        if fails:
            raise KeyError(number)
        open_[key] = (number, promise())
        return open_[key][1]

    for number, (key, fails) in enumerate(asked):
        answers.append(
            turns.take(key, lambda k=key, n=number, f=fails: begin(k, n, fails=f))  # type: ignore[misc]
        )
    while open_:
        number, future = open_.pop(data.draw(st.sampled_from(sorted(open_))))
        future.set_result(number)

    for key in range(3):
        order = [n for k, n in begun if k == key]
        assert order == [n for n, (k, _) in enumerate(asked) if k == key]
    for number, (answer, (_, fails)) in enumerate(zip(answers, asked, strict=True)):
        if fails:
            assert isinstance(answer.exception(0), KeyError)
        else:
            assert answer.result(0) == number


def test_too_many_for_one_key_are_told_to_come_back_and_others_are_not() -> None:
    turns = Turns(2, at_once)
    first: Future[int] = promise()
    turns.take("a", lambda: first)
    turns.take("a", lambda: settled(2))

    with pytest.raises(Busy):
        turns.take("a", lambda: settled(3))

    assert turns.take("b", lambda: settled(4)).result(0) == 4
    first.set_result(1)
    assert turns.take("a", lambda: settled(5)).result(0) == 5
