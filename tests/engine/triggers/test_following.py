"""Code and packages change together, or not at all."""

from __future__ import annotations

import pytest

from engine.environments.failures import InstallFailed
from engine.environments.home import BuildingEnvironment
from engine.model.lock import SHARED, Reason
from engine.triggers.following import FollowedCode
from tests.engine.triggers.conftest import Town
from tests.preparing import lock
from tests.serving import eventually


def shown(code: FollowedCode) -> str:
    """Return the mark in the code that is served."""
    text = code.current().text or ""
    return text.rpartition("x = ")[2].strip().strip("\"'")


def test_code_that_asks_for_the_same_is_served_at_once(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    code, reports = town.code(town.create("t", "p.py"))
    assert shown(code) == "a"

    town.plugin("p.py", "six==1.0", "longer b")

    assert shown(code) == "longer b"
    assert reports == []


def test_the_old_code_serves_until_the_packages_of_the_new_are_there(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    code, reports = town.code(trigger)
    is_outdated = town.lodging.watch(trigger.id)
    assert shown(code) == "a"
    town.maker.go_on.clear()
    town.plugin("p.py", "six==2.0", "new")

    assert [shown(code) for _ in range(3)] == ["a"] * 3
    assert not is_outdated()
    town.maker.go_on.set()

    eventually(lambda: shown(code) == "new")
    assert is_outdated()
    pin = town.store.catalog.pins[trigger.id]
    assert (pin.lock_id, pin.history[-1].reason) == (lock("six==2.0").id, Reason.CODE_CHANGED)
    assert reports == []


def test_code_whose_packages_cannot_be_had_does_not_replace_the_old_one(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    code, reports = town.code(trigger)
    shown(code)
    town.maker.unavailable = {"six==9"}
    town.plugin("p.py", "six==9", "bad")

    eventually(lambda: shown(code) == "a" and reports)
    for _ in range(3):
        assert shown(code) == "a"

    assert reports == ["six==9 is nowhere; the code of before goes on serving, with its packages"]
    assert town.store.catalog.pins[trigger.id].lock_id == lock("six==1.0").id
    town.plugin("p.py", "six==1.0", "good again")
    assert shown(code) == "good again"


def test_what_cannot_be_had_is_told_before_another_event_asks(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    code, reports = town.code(town.create("t", "p.py"))
    shown(code)
    town.maker.unavailable = {"six==9"}
    town.plugin("p.py", "six==9", "bad")

    assert shown(code) == "a"

    eventually(lambda: reports)


def test_metadata_that_is_nonsense_is_told_like_packages_that_cannot_be_had(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    code, reports = town.code(town.create("t", "p.py"))
    shown(code)

    town.plugin("p.py", "./path", "bad")

    assert shown(code) == "a"
    assert "p.py line 2" in reports[0]


def test_code_of_an_edit_that_was_edited_again_is_never_pinned(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    code, _ = town.code(trigger)
    shown(code)
    town.maker.go_on.clear()
    town.plugin("p.py", "six==2.0", "second")
    assert shown(code) == "a"
    town.plugin("p.py", "six==3.0", "the third")
    assert shown(code) == "a"
    town.maker.go_on.set()

    eventually(lambda: shown(code) == "the third")

    locks = [switch.lock_id for switch in town.store.catalog.pins[trigger.id].history]
    assert locks == [lock("six==1.0").id, lock("six==3.0").id]


def test_code_that_was_edited_while_no_server_ran_waits_for_its_packages(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    town.plugin("p.py", "six==2.0", "new")
    code, _ = town.code(trigger)

    with pytest.raises(BuildingEnvironment) as caught:
        code.current()
    caught.value.done.result(10)

    assert shown(code) == "new"


def test_after_a_start_new_code_runs_on_what_is_there_when_there_is_nothing_else(
    town: Town,
) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    town.maker.unavailable = {"six==9"}
    town.plugin("p.py", "six==9", "new")
    code, reports = town.code(trigger)

    with pytest.raises(BuildingEnvironment) as caught:
        code.current()
    assert caught.value.done.exception(10) is not None

    assert shown(code) == "new"
    assert reports == [
        "six==9 is nowhere; the code is new, and runs on the packages that were there before"
    ]


def test_an_index_that_comes_back_is_asked_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.plugin("p.py", "six==1.0", "a")
    code, reports = town.code(town.create("t", "p.py"))
    shown(code)
    town.maker.failure = InstallFailed("the index does not answer")
    town.plugin("p.py", "six==2.0", "new")
    eventually(lambda: shown(code) == "a" and reports)

    town.maker.failure = None
    assert shown(code) == "a"
    monkeypatch.setattr("engine.triggers.following._RETRY_S", -1.0)
    town.plugin("p.py", "six==2.0", "newer")

    eventually(lambda: shown(code) == "newer")
    assert len(reports) == 1


def test_code_that_asks_for_nothing_any_more_leaves_its_environment(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    code, _ = town.code(trigger)
    shown(code)

    town.plugin("p.py", "", "plain")
    eventually(lambda: shown(code) == "plain")

    assert town.store.catalog.pins == {}
    assert town.lodging.lock_of(trigger.id) == town.lodging.lock_of(SHARED)


def test_packages_that_were_changed_by_hand_meanwhile_bring_the_new_code_along(
    town: Town,
) -> None:
    town.plugin("p.py", "six==1.0", "a")
    code, reports = town.code(town.create("t", "p.py"))
    shown(code)
    town.maker.unavailable = {"six==2.0"}
    town.plugin("p.py", "six==2.0", "new")
    eventually(lambda: shown(code) == "a" and reports)
    town.maker.unavailable = set()

    town.provisioning.require("db", "t").result(10)

    assert shown(code) == "new"


def test_requirements_that_were_changed_meanwhile_are_not_undone_by_new_code(town: Town) -> None:
    town.plugin("p.py", "six==1.0", "a")
    trigger = town.create("t", "p.py")
    code, _ = town.code(trigger)
    shown(code)
    town.maker.go_on.clear()
    change = town.provisioning.require("db", "t", ("toml==1.0",))
    eventually(town.environments.jobs)  # it has looked at the code of before
    town.plugin("p.py", "six==2.0", "new")
    assert shown(code) == "a"
    town.maker.go_on.set()
    change.result(10)

    eventually(lambda: shown(code) == "new")

    asked = [pin.asked.requirements for pin in town.store.catalog.pins.values()]
    assert asked == [("six==2.0", "toml==1.0")]
    assert [s.reason for s in town.store.catalog.pins[trigger.id].history] == [
        Reason.CREATED,
        Reason.UPDATED,
        Reason.CODE_CHANGED,
    ]
