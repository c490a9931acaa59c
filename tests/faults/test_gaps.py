"""Segments that a lagging trigger still needs are dropped: it loses rows, and only it."""

from __future__ import annotations

import json

import pytest

from tests.faults.checking import missing
from tests.faults.plugins import DATABASE, Derivation, create_trigger
from tests.faults.world import SETTINGS, World
from tests.serving import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
STUCK = """\
import time

def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info("begun")
    time.sleep(60)
"""
FAULTS = ("", "lag.gap_counted=kill", "lag.gap_counted=power", "logroom.segments_dropped=kill")


@pytest.mark.parametrize("fault", FAULTS)
def test_death_while_a_gap_is_made_loses_no_rows_of_tables(fault: str, world: World) -> None:
    small = {**SETTINGS, "wal": {"segment_bytes": 30_000, "max_lag_bytes": 90_000}}
    settings = {"BULKHEAD_SETTINGS": json.dumps(small)}
    assert world.launched(**settings)
    create_trigger(world.server, DATABASE, Derivation("stuck", STUCK))
    world.server.kill()

    died = world.lived(fault, within_s=20.0 if fault else 6.0, **settings)

    assert died == bool(fault)
    assert world.launched()
    eventually(lambda: world.server.count(DATABASE, "t"))
    assert missing(world.server, world.memory) == []
    assert world.server.write(DATABASE, "t,w=marker n=1i 1", precision="ns").status == 204
