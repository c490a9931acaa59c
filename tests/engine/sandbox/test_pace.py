from engine.sandbox.pace import Pace


def test_turns_run_out_and_come_back_with_time() -> None:
    pace = Pace(burst=2, per_s=10, now_s=100.0)

    assert [pace.may(100.0) for _ in range(3)] == [True, True, False]
    assert pace.wait_s(100.0) == 0.1
    assert pace.may(100.2)


def test_no_more_than_the_burst_gathers() -> None:
    pace = Pace(burst=2, per_s=10, now_s=0.0)

    assert [pace.may(1000.0) for _ in range(3)] == [True, True, False]
