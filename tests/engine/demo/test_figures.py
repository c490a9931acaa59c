from dataclasses import replace

import pytest

from engine.demo.figures import Crash, Figures, checks, is_near
from engine.demo.load import Measured, Wait, percentile

GOOD = Figures(
    acknowledged=100,
    stored=100,
    seen={"reports": 100, "victim": 100},
    written={"alerts": 1},
    alerts={"degrees": 1},
    crashes=[Crash(10**9, "worker killed by SIGSEGV", "", 80.0)],
    errors_of_others=[],
    writes=Measured(waits=[Wait(10**9, 0.01)], rows=100),
    requests=Measured(waits=[Wait(10**9, 0.02)]),
    is_same_server=True,
)


def test_a_run_in_which_all_went_well_keeps_every_promise() -> None:
    assert [check.promise for check in checks(GOOD) if not check.is_kept] == []


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (replace(GOOD, stored=99), "every acknowledged row is stored"),
        (replace(GOOD, seen={"victim": 101}), "victim saw each row exactly once"),
        (replace(GOOD, crashes=[]), "the plugin crashed, once"),
        (replace(GOOD, alerts={"degrees": 0}), "alerts of the rule degrees were raised"),
        (replace(GOOD, errors_of_others=["hot: x"]), "0 errors in other triggers"),
        (replace(GOOD, is_same_server=False), "the server is the process that was started"),
        (replace(GOOD, writes=Measured(rows=100)), "0 writes failed"),
        (
            replace(GOOD, requests=Measured(waits=[Wait(0, 0.1)], failures=["502"])),
            "0 requests failed",
        ),
    ],
)
def test_each_broken_promise_is_found(broken: Figures, promise: str) -> None:
    assert [check.promise for check in checks(broken) if not check.is_kept] == [promise]


def test_no_rows_at_all_keep_no_promise_about_rows() -> None:
    nothing = replace(GOOD, acknowledged=0, stored=0, seen={"victim": 0})

    assert sum(not check.is_kept for check in checks(nothing)) == 2


def test_near_a_crash_is_the_second_after_it() -> None:
    crash = GOOD.crashes[0]

    assert is_near(Wait(crash.time_ns, 0.0), crash)
    assert not is_near(Wait(crash.time_ns - 1, 0.0), crash)
    assert not is_near(Wait(crash.time_ns + 10**9, 0.0), crash)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0
    assert percentile([], 0.5) == 0.0
