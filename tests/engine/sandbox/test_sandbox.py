from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.model.grants import Grants, parse_grants
from engine.model.limits import Limits
from engine.sandbox.launch import SandboxUnavailable
from engine.sandbox.policy import CgroupKind, Layers, Policy
from engine.sandbox.report import ATTACKS, Level, Trial, report_of
from engine.sandbox.sandbox import Order, Sandbox
from worker.attacks import ATTACKS as TRIED

NETWORK = "reaches no network it was not granted"


def order(folder: Path, grants: Grants) -> Order:
    return Order(
        policy=Policy(
            trigger_id=7,
            uid=None,
            plugin_dir=str(folder),
            private_dir=str(folder),
            sockets_dir=str(folder),
            runtime_dir=str(folder),
            environment_dir=str(folder),
            prefixes=(),
        ),
        grants=grants,
        limits=Limits(),
        label="alert",
        command=("/bin/true",),
        document=lambda _: b"",
    )


@pytest.mark.parametrize("grant", ["net=self", "net=api.example.com:443"])
def test_a_network_that_cannot_be_held_to_its_hosts_is_refused(tmp_path: Path, grant: str) -> None:
    sandbox = Sandbox("required")

    with pytest.raises(SandboxUnavailable, match="'alert' was granted a network, and without bub"):
        sandbox.start(order(tmp_path, parse_grants([grant])), 1)


@pytest.mark.parametrize(
    ("mode", "grants"), [("required", ["env=A"]), ("best-effort", ["net=self"])]
)
def test_other_grants_and_modes_are_not_refused(
    tmp_path: Path, mode: str, grants: list[str]
) -> None:
    with open(os.devnull, "wb") as output:  # noqa: PTH123  a device
        started = Sandbox(mode).start(order(tmp_path, parse_grants(grants)), output.fileno())

    assert started.popen.wait(10) == 0


def test_the_report_says_what_a_network_grant_opens_without_namespaces() -> None:
    held = Trial(Layers(landlock_abi=7, seccomp=True), {"connect_tcp": ""}, {"bwrap": "none"})

    row = {promise.text: promise for promise in report_of(held).promises}[NETWORK]

    assert row.is_enforced
    assert row.by == (
        "seccomp, which allows no socket; a plugin with a network grant is not held to its hosts"
    )


def test_the_report_says_in_each_row_why_nothing_could_be_started() -> None:
    why = "cannot confine the worker: /root is closed to others"
    report = report_of(Trial(Layers(), {}, {"bwrap": "there is none", "start": why}))

    texts = {promise.text: promise.why_not for promise in report.broken}
    assert report.level is Level.C
    assert texts["reaches no rare system call"] == f"was not tried: {why}"
    assert texts["has a bounded share of the CPU"] == f"no cgroup: not used; {why}"
    assert why in report.advice


def kept(trial: Trial) -> dict[str, str]:
    return {promise.text: promise.by for promise in report_of(trial).promises if promise.by}


def test_only_the_time_of_a_run_is_bounded_where_nothing_is_put_on() -> None:
    assert set(kept(Trial(Layers(), {}, {"start": "no"}))) == {"has bounded time for a run"}


def test_attacks_that_were_not_tried_count_as_let_through() -> None:
    layers = Layers("/usr/bin/bwrap", 7, True, CgroupKind.V2, True)
    tried = dict.fromkeys(TRIED, "")
    assert set(tried) == ATTACKS
    assert report_of(Trial(layers, tried, {})).level is Level.A

    del tried["trace_process"]

    assert report_of(Trial(layers, tried, {})).level is Level.C


def test_the_share_of_the_processor_is_no_promise_where_no_group_holds_it() -> None:
    layers = Layers(cgroup=CgroupKind.V2)

    assert "has a bounded share of the CPU" in kept(Trial(layers, {}, {}))
    assert "has a bounded share of the CPU" not in kept(Trial(layers, {}, {"cpu": "none"}))
