"""What becomes of the ticks that a scheduled trigger missed.

    done            missed_until                 due
     |---- missed ticks ---|---- ticks in time ----|

    skip   the newest tick in time; every missed one is dropped
    one    the newest tick of both; the others are dropped
    all    the oldest tick of both; none is dropped

Missed are the ticks that fell due while the server was down or while a run overran them. Of
several ticks in time, as while a worker starts, `skip` too runs the newest.
Pure; may be called from any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engine.errors import InvalidParameter
from engine.model.schedule import count_fires, latest_fire, next_fire
from engine.model.spec import CronSpec, EverySpec

__all__ = ["CatchUp", "Turn", "next_turn", "parse_catch_up"]


class CatchUp(Enum):
    """Which of the missed ticks are run."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Turn:
    """What a scheduled trigger does next.

    Args:
        tick_ns: the tick to run, UTC nanoseconds; None when there is nothing to do yet.
        dropped: how many ticks are never run.
        done_ns: up to here, inclusive, no tick is left but `tick_ns`.
    """

    tick_ns: int | None
    dropped: int
    done_ns: int


def next_turn(
    spec: CronSpec | EverySpec,
    catch_up: CatchUp,
    *,
    done_ns: int,
    missed_until_ns: int,
    due_ns: int,
) -> Turn:
    """Choose among the ticks in (done, due].

    Args:
        spec: when ticks fall.
        catch_up: which of the missed are run.
        done_ns: the last tick that was run or dropped, UTC nanoseconds.
        missed_until_ns: ticks up to here, inclusive, count as missed.
        due_ns: the time up to which ticks may be run.
    """
    if catch_up is CatchUp.ALL:
        oldest_ns = next_fire(spec, done_ns)
        is_due = oldest_ns is not None and oldest_ns <= due_ns
        return Turn(oldest_ns if is_due else None, 0, done_ns)
    newest_ns = latest_fire(spec, done_ns, due_ns)
    if newest_ns is None:
        return Turn(None, 0, done_ns)
    if catch_up is CatchUp.SKIP and newest_ns <= missed_until_ns:
        return Turn(None, count_fires(spec, done_ns, newest_ns), newest_ns)
    before_ns = newest_ns - 1
    return Turn(newest_ns, count_fires(spec, done_ns, before_ns), before_ns)


def parse_catch_up(text: str) -> CatchUp:
    """Return a catch-up policy from its name in any case.

    Raises:
        InvalidParameter: no such policy.
    """
    try:
        return CatchUp(text.strip().lower())
    except ValueError:
        raise InvalidParameter(f"unknown catch-up {text!r}; use skip, one or all") from None
