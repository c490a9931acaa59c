"""Which layer the probe blames when a child does not start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.sandbox.enclose import Enclosed, Encloser, Order
from engine.sandbox.policy import CgroupKind, Layers
from engine.sandbox.probe import probe
from engine.sandbox.report import Level, report_of
from engine.sandbox.uids import own_uid
from tests.confined import BWRAP

HOPES = Layers(BWRAP, 1, True, CgroupKind.V2, os.geteuid() == 0)
pytestmark = pytest.mark.skipif(not Path(BWRAP).exists(), reason="needs bubblewrap")


def test_groups_that_cannot_be_made_do_not_cost_the_namespaces() -> None:
    def start(layers: Layers, order: Order, output: int) -> Enclosed:
        if layers.cgroup is not None:
            raise OSError("no space left for groups")
        return Encloser(layers).start(order, output)

    trial = probe(start, HOPES, {}, own_uid(0, "here"))

    assert trial.layers.bwrap == BWRAP
    assert set(trial.missing) == {"cgroup"}
    assert report_of(trial).level is Level.A_MINUS


def test_a_kernel_that_refuses_landlock_keeps_its_namespaces() -> None:
    def start(layers: Layers, order: Order, output: int) -> Enclosed:
        if layers.landlock_abi:
            raise OSError("landlock: cannot create a ruleset: Operation not permitted")
        return Encloser(layers).start(order, output)

    trial = probe(start, Layers(BWRAP, 1, True, None, HOPES.own_uid), {}, own_uid(0, "here"))

    assert (trial.layers.bwrap, trial.layers.landlock_abi) == (BWRAP, 0)
    assert set(trial.missing) == {"landlock"}
    assert report_of(trial).level is Level.B


def test_a_child_that_ends_halfway_has_not_shown_that_its_memory_is_bounded() -> None:
    def start(layers: Layers, order: Order, output: int) -> Enclosed:
        short = Order(
            order.policy,
            order.grants,
            order.limits,
            order.label,
            ("/bin/sh", "-c", """echo '["landlock_abi", 7]'; echo '["read_file", ""]'"""),
            order.document,
        )
        return Encloser(Layers()).start(short, output)

    trial = probe(start, HOPES, {}, None)

    assert trial.escapes == {"read_file": ""}
    assert report_of(trial).level is Level.C
