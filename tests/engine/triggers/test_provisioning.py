"""Packages are prepared first and switched then; what fails leaves all as it was."""

from __future__ import annotations

import pytest

from engine.environments.environment import BrokenEnvironment
from engine.environments.failures import PackagesUnavailable
from engine.environments.home import BuildingEnvironment
from engine.environments.installation import Wanted
from engine.environments.installer import InstallDisabled
from engine.errors import AlreadyExists, InvalidParameter, NotFound
from engine.model.lock import SHARED, Asked, Reason, change_between
from engine.plugins.source import PluginFolder
from engine.triggers.restoring import NoEarlierEnvironment
from tests.engine.triggers.conftest import Town
from tests.preparing import lock


def reasons(town: Town, target: int) -> list[Reason]:
    return [switch.reason for switch in town.store.catalog.pins[target].history]


def test_a_new_trigger_is_prepared_for_and_refused_before_it_exists(town: Town) -> None:
    town.plugin("six.py", "six==1.0")
    town.maker.unavailable = {"toml==9"}

    with pytest.raises(PackagesUnavailable):
        town.provisioning.prepare(town.new("t", "six.py", "toml==9")).result(10)
    trigger = town.create("t", "six.py")

    pin = town.store.catalog.pins[trigger.id]
    assert (pin.asked, pin.lock_id) == (Asked(("six==1.0",)), lock("six==1.0").id)
    with pytest.raises(AlreadyExists):
        town.provisioning.prepare(town.new("t", "six.py", "toml==1.0")).result(10)
    assert town.maker.made == [lock("six==1.0").id]


def test_who_asks_for_nothing_lives_in_the_shared_environment(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py")

    with pytest.raises(BuildingEnvironment) as caught:
        town.lodging.of(trigger.id)
    caught.value.done.result(10)

    assert town.lodging.of(trigger.id).environment.root == town.shelf.path(lock().id)
    assert (town.plugins / ".venv").readlink() == town.shelf.path(lock().id)
    assert town.store.catalog.pins == {}


def test_the_first_worker_of_all_is_not_outdated_and_a_repair_is_for_the_empty_one_too(
    town: Town,
) -> None:
    with pytest.raises(BuildingEnvironment) as caught:
        town.lodging.of(SHARED)
    caught.value.done.result(10)
    is_outdated = town.lodging.watch(SHARED)
    town.lodging.of(SHARED)

    assert not is_outdated()
    town.provisioning.repair().result(10)
    assert is_outdated()


def test_other_requirements_are_switched_to_and_told(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0", "toml==1.0")
    is_outdated = town.lodging.watch(trigger.id)

    change = town.provisioning.require("db", "t", ("six==2.0", "yaml==3")).result(10)

    assert dict(change.added) == {"yaml": "3"}
    assert dict(change.removed) == {"toml": "1.0"}
    assert dict(change.changed) == {"six": ("1.0", "2.0")}
    assert is_outdated()
    assert reasons(town, trigger.id) == [Reason.CREATED, Reason.UPDATED]
    after = town.store.catalog.trigger_named("db", "t")
    assert after.settings.requirements == ("six==2.0", "yaml==3")
    assert town.maker.kept[-1] == lock("six==1.0", "toml==1.0")
    town.close()  # those who wake have ended
    assert town.woken == [trigger.id]


def test_what_cannot_be_had_leaves_the_old_packages_and_tells_the_log(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0")
    town.maker.unavailable = {"six==9"}
    is_outdated = town.lodging.watch(trigger.id)
    before = town.store.catalog

    with pytest.raises(PackagesUnavailable):
        town.provisioning.require("db", "t", ("six==9",)).result(10)

    assert town.store.catalog is before
    assert not is_outdated()
    assert town.notes == [("t", "the environment stays as it is: six==9 is nowhere")]


def test_an_upgrade_takes_the_newest_and_keeps_nothing(town: Town) -> None:
    town.plugin("plain.py")
    town.maker.newest = {"six": "1.0"}
    trigger = town.create("t", "plain.py", "six")
    town.maker.newest = {"six": "2.0"}

    change = town.provisioning.require("db", "t", upgrade=True).result(10)

    assert dict(change.changed) == {"six": ("1.0", "2.0")}
    assert town.maker.kept[-1] is None
    assert reasons(town, trigger.id) == [Reason.CREATED, Reason.UPGRADED]


def test_without_requirements_a_trigger_goes_back_to_the_shared_environment(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0")

    change = town.provisioning.require("db", "t", ()).result(10)

    assert dict(change.removed) == {"six": "1.0"}
    assert town.store.catalog.pins == {}
    assert town.lodging.lock_of(trigger.id) == lock()
    with pytest.raises(InvalidParameter, match="that is shared"):
        town.provisioning.require("db", "t", upgrade=True).result(10)


def test_a_way_back_leads_to_the_lock_before_or_to_one_that_is_named(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0")
    for version in ("2.0", "3.0"):
        town.provisioning.require("db", "t", (f"six=={version}",)).result(10)
    first = lock("six==1.0")
    town.shelf.remove(first.id)

    change = town.provisioning.rollback("db", "t").result(10)
    assert change == change_between(lock("six==3.0"), lock("six==2.0"))
    change = town.provisioning.rollback("db", "t", first.id[:6]).result(10)
    assert change == change_between(lock("six==2.0"), first)

    assert town.shelf.open(first.id)
    assert reasons(town, trigger.id)[-2:] == [Reason.ROLLED_BACK] * 2
    with pytest.raises(NoEarlierEnvironment, match="not one 'zz'"):
        town.provisioning.rollback("db", "t", "zz").result(10)
    with pytest.raises(NoEarlierEnvironment, match="was never changed"):
        town.provisioning.rollback().result(10)
    with pytest.raises(NotFound):
        town.provisioning.rollback("db", "nobody")


def test_who_shares_is_told_where_the_way_back_is(town: Town) -> None:
    town.plugin("plain.py")
    town.create("t", "plain.py")
    town.provisioning.install(Wanted(("six==1.0",))).result(10)

    with pytest.raises(NoEarlierEnvironment, match="rollback environment --shared"):
        town.provisioning.rollback("db", "t").result(10)


def test_with_one_lock_there_is_no_way_back(town: Town) -> None:
    town.plugin("plain.py")
    town.create("t", "plain.py", "six==1.0")

    with pytest.raises(NoEarlierEnvironment, match="had no other lock"):
        town.provisioning.rollback("db", "t").result(10)


def test_where_nothing_may_be_installed_not_even_what_is_there_is(town: Town) -> None:
    town.provisioning.install(Wanted(("six==1.0",))).result(10)
    town.environments.may_install = False

    with pytest.raises(InstallDisabled):
        town.provisioning.install(Wanted(("six==1.0",)))


def test_installations_add_up_in_the_shared_environment_and_have_a_way_back(town: Town) -> None:
    first = town.provisioning.install(Wanted(("six==1.0",)))
    second = town.provisioning.install(Wanted(("toml==1.0",)))
    third = town.provisioning.install(Wanted(("six==2.0",)))

    assert dict(first.result(10).added) == {"six": "1.0"}
    assert dict(second.result(10).added) == {"toml": "1.0"}
    assert dict(third.result(10).changed) == {"six": ("1.0", "2.0")}
    assert reasons(town, SHARED) == [Reason.CREATED] + [Reason.INSTALLED] * 3
    link = town.plugins / ".venv"
    assert link.readlink() == town.shelf.path(lock("six==2.0", "toml==1.0").id)

    town.provisioning.rollback().result(10)

    assert link.readlink() == town.shelf.path(lock("six==1.0", "toml==1.0").id)

    town.provisioning.install(Wanted(("toml==2.0",))).result(10)

    assert link.readlink() == town.shelf.path(lock("six==1.0", "toml==2.0").id)


def test_an_environment_of_the_users_own_is_changed_in_place(town: Town) -> None:
    (town.plugins / ".venv").mkdir()
    wanted = Wanted(("six==1.0",))

    change = town.provisioning.install(wanted).result(10)

    assert town.in_place == [wanted]
    assert dict(change.added) == {"six": "1.0"}
    assert town.lodging.lock_of(SHARED) is None
    with pytest.raises(InvalidParameter, match="not the server's own"):
        town.provisioning.repair().result(10)
    with pytest.raises(NoEarlierEnvironment, match="not the server's own"):
        town.provisioning.rollback().result(10)


def test_damage_is_told_with_its_remedy_which_helps(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0")
    is_outdated = town.lodging.watch(trigger.id)
    town.shelf.broken[lock("six==1.0").id] = "a file is missing"

    with pytest.raises(BrokenEnvironment) as caught:
        town.lodging.of(trigger.id)
    assert str(caught.value) == (
        "a file is missing; repair it with: bulkhead repair environment t --database db"
    )
    assert town.provisioning.describe("db", "t").state == "broken"
    change = town.provisioning.repair("db", "t").result(10)

    assert (change.lock_id, dict(change.changed)) == (lock("six==1.0").id, {})
    assert town.lodging.of(trigger.id)
    assert is_outdated()


def test_a_repair_takes_another_python_when_its_own_has_gone(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0")
    town.maker.python = "3.12"  # what is locked is for 3.11 all the same

    town.provisioning.repair("db", "t").result(10)

    assert town.maker.kept[-1] == lock("six==1.0")
    assert trigger.id in town.store.catalog.pins


def test_a_missing_environment_is_made_once_and_a_failure_is_told_for_a_while(town: Town) -> None:
    town.plugin("plain.py")
    ours, theirs = (town.create(name, "plain.py", "six==1.0") for name in ("a", "b"))
    town.shelf.remove(lock("six==1.0").id)
    town.maker.go_on.clear()
    waiting = []
    for trigger in (ours, theirs):
        with pytest.raises(BuildingEnvironment) as caught:
            town.lodging.of(trigger.id)
        waiting.append(caught.value.done)
    assert town.lodging.with_building({ours.id: "starting", 99: "ready"}) == {
        ours.id: "building",
        99: "ready",
    }
    town.maker.failure = PackagesUnavailable("the index is gone")
    town.maker.go_on.set()

    for done in waiting:
        assert isinstance(done.exception(10), PackagesUnavailable)
    with pytest.raises(BrokenEnvironment, match="the index is gone; repair it with: "):
        town.lodging.of(ours.id)
    assert not town.lodging.is_building(ours.id)

    town.maker.failure = None
    town.provisioning.repair("db", "a").result(10)
    assert town.lodging.of(theirs.id)


def test_the_shared_name_is_mended_at_the_start(town: Town) -> None:
    town.provisioning.install(Wanted(("six==1.0",))).result(10)
    link = town.plugins / ".venv"
    link.unlink()
    link.symlink_to(town.shelf.root / "old")
    town.close()

    town.open()
    town.lodging.lead_to_shared()

    assert link.readlink() == town.shelf.path(lock("six==1.0").id)


def test_environments_in_service_and_in_use_are_not_collected(town: Town) -> None:
    town.plugin("plain.py")
    town.create("t", "plain.py", "six==1.0")
    for version in ("2.0", "3.0"):
        town.provisioning.require("db", "t", (f"six=={version}",)).result(10)
    ids = [lock(f"six=={version}.0").id for version in (1, 2, 3)]
    town.shelf.old = ids
    town.shelf.used.clear()

    town.lodging.collect(7.0, {town.shelf.path(ids[1])})

    assert set(town.shelf.there) == set(ids[1:])


def test_a_description_says_what_there_is_and_who_uses_it(town: Town) -> None:
    town.plugin("plain.py")
    for name in ("a", "b"):
        town.create(name, "plain.py", "six==1.0")
    town.create("c", "plain.py")

    own, shared = town.provisioning.describe("db", "a"), town.provisioning.describe()

    assert (own.trigger_name, own.database, own.state) == ("a", "db", "ready")
    assert own.packages == {"six": "1.0"}
    assert own.used_by == (("db", "a"), ("db", "b"))
    assert (own.size_bytes, own.requirements) == (7, ("six==1.0",))
    assert (shared.trigger_name, shared.state, shared.used_by) == (None, "missing", (("db", "c"),))


def test_a_plugin_is_tried_in_what_it_asks_for(town: Town) -> None:
    town.plugin("six.py", "six==1.0")
    town.plugin("plain.py")
    homes = [
        town.provisioning.home_for(name, code.current())
        for name in ("six.py", "plain.py")
        for code in [PluginFolder(town.plugins).open(name)]
    ]

    roots = [home.environment.root.name for home in homes]
    assert roots == [lock("six==1.0").id, lock().id]
    assert town.store.catalog.pins == {}
