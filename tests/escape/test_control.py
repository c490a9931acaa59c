"""The control run: without a sandbox most attacks escape. If not, the battery shows nothing."""

from __future__ import annotations

import os

import pytest

from tests.escape.arena import arena
from tests.escape.attacks.catalog import ATTACKS
from tests.escape.judging import judge

# Those that hurt the server would need one each, and bombs take their time.
SHARED = [
    name for name, attack in ATTACKS.items() if not attack.needs_server and not attack.is_lasting
]
BOMBS = {"bombs_private_disk", "bombs_memory", "trees_fork_bomb", "trees_memory_of_children"}
TRIED = [name for name in SHARED if not ATTACKS[name].is_heavy or name in BOMBS]
LEAST_SHARE = 0.7


@pytest.mark.skipif(os.getuid() != 0, reason="the kernel itself refuses a user about half of them")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_sandbox_most_attacks_escape() -> None:
    with arena("off") as ring:
        verdicts = {name: judge(ring, name) for name in TRIED}

    assert {name: one.how for name, one in verdicts.items() if one.is_broken} == {}
    safe = sorted(name for name, verdict in verdicts.items() if not verdict.escaped)
    assert len(safe) <= len(TRIED) * (1 - LEAST_SHARE), safe
