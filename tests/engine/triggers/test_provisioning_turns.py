"""Changes of one environment that meet: the later builds on the earlier, and none on a stranger."""

from __future__ import annotations

import pytest

from engine.catalog.commands import create_trigger, delete_trigger
from engine.catalog.pinning import Pinned
from engine.environments.jobs import Label
from engine.errors import NotFound
from engine.model.lock import Asked
from tests.engine.triggers.conftest import Town
from tests.preparing import lock
from tests.serving import eventually


def test_an_upgrade_keeps_what_an_update_before_it_asks_for(town: Town) -> None:
    town.plugin("plain.py")
    trigger = town.create("t", "plain.py", "six==1.0")
    town.maker.go_on.clear()
    changes = [
        town.provisioning.require("db", "t", ("toml==1.0",)),
        town.provisioning.require("db", "t", upgrade=True),
    ]
    town.maker.go_on.set()

    for change in changes:
        change.result(10)

    assert town.store.catalog.triggers[trigger.id].settings.requirements == ("toml==1.0",)
    assert town.store.catalog.pins[trigger.id].asked.requirements == ("toml==1.0",)


def test_a_trigger_that_took_the_name_of_another_gets_none_of_its_packages(town: Town) -> None:
    town.plugin("plain.py")
    town.create("t", "plain.py", "six==1.0")
    town.maker.go_on.clear()
    change = town.provisioning.require("db", "t", ("toml==1.0",))
    eventually(town.environments.jobs)

    town.store.update(delete_trigger("db", "t", force=True))
    pinned = Pinned(Asked(("six==1.0",)), lock("six==1.0"))
    new = town.new("t", "plain.py", "six==1.0")
    town.store.update(create_trigger(new, start=0, now_ns=10, pinned=pinned))
    town.maker.go_on.set()

    with pytest.raises(NotFound):
        change.result(10)
    again = town.store.catalog.trigger_named("db", "t")
    assert again.settings.requirements == ("six==1.0",)
    assert town.store.catalog.pins[again.id].lock_id == lock("six==1.0").id


def test_the_first_environment_of_a_triggers_own_is_prepared_under_its_name(town: Town) -> None:
    town.plugin("plain.py")
    town.create("t", "plain.py")
    town.maker.go_on.clear()

    change = town.provisioning.require("db", "t", ("six==1.0",))

    [job] = eventually(town.environments.jobs)
    assert job.label == Label("db", "t")
    town.maker.go_on.set()
    change.result(10)
