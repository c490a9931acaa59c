"""What the server holds is what a simple model holds, whatever has happened in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.modelled import Plan


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
def test_tables_hold_what_the_model_holds(seed: int, tmp_path: Path) -> None:
    plan = Plan(tmp_path, seed)

    plan.run(120)

    assert plan.steps.count("_write") > 10
