from engine.demo.scenario import Scenario, climate_lines, triggers
from engine.lineprotocol import parse
from engine.lineprotocol.precision import Precision


def points(lines: bytes) -> set[tuple[str, str]]:
    """Return series and time of each line."""
    parts = (line.split(" ") for line in lines.decode().splitlines())
    return {(series, time_ns) for series, _, time_ns in parts}


def test_writers_never_write_the_same_point_twice() -> None:
    first = climate_lines(0, 0, 60, 0.0, 1_000)
    following = climate_lines(0, 60, 60, 0.0, 1_060)
    other = climate_lines(1, 0, 60, 0.0, 1_000)

    assert len(points(first) | points(following) | points(other)) == 180


def test_only_the_heated_attic_passes_the_limit() -> None:
    cool = climate_lines(0, 0, 40, 2.9, 0).decode().splitlines()
    hot = climate_lines(0, 0, 40, 3.0, 0).decode().splitlines()

    def rooms_above(lines: list[str]) -> set[str]:
        degrees = {line: float(line.split("degrees=")[1].split(",")[0]) for line in lines}
        return {line.split(",")[1] for line, value in degrees.items() if value > 30}

    assert rooms_above(cool) == set()
    assert rooms_above(hot) == {"room=attic"}


def test_the_server_accepts_every_line() -> None:
    parsed = parse(climate_lines(2, 7, 50, 4.0, 10**18).decode(), Precision.NANOSECOND, 0)

    assert not parsed.rejected


def test_the_crash_comes_when_the_scenario_says() -> None:
    victim = next(t for t in triggers(Scenario(crash_at=7)) if t.name == "victim")

    assert victim.arguments == {"mode": "segfault", "at": "7"}
