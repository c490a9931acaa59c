from __future__ import annotations

from itertools import pairwise

from engine.workers.backoff import delay_s


def test_the_first_repeat_does_not_wait() -> None:
    assert delay_s(1, 0.9) == 0.0


def test_pauses_double_up_to_half_a_minute() -> None:
    pauses = [delay_s(attempt, 0.0) for attempt in range(2, 80)]

    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert all(later >= earlier for earlier, later in pairwise(pauses))
    assert pauses[-1] == 30.0


def test_chance_shortens_a_pause_by_at_most_a_quarter() -> None:
    assert delay_s(5, 0.999) > 0.75 * delay_s(5, 0.0) - 1e-9
