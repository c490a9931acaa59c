"""Environments are prepared once for all who ask, and nothing half-made counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from engine.catalog.fold import apply_all
from engine.catalog.pinning import Pinned, pin_environment
from engine.catalog.state import Catalog
from engine.environments.failures import InstallFailed, PackagesUnavailable
from engine.environments.installer import InstallDisabled
from engine.environments.jobs import SHARED_LABEL, JobState, Label
from engine.environments.service import Condition, Environments
from engine.errors import Busy, Stopping
from engine.model.lock import SHARED, Asked, Reason
from tests.preparing import ListedShelf, PlainMaker, lock

OURS = Label("db", "ours")
SIX, TOML = Asked(("six==1.0",)), Asked(("toml==2.0",))


class World:
    """The service, with the catalog of a test."""

    def __init__(self, folder: Path, *, may_install: bool = True) -> None:
        self.shelf = ListedShelf(folder / "environments")
        self.maker = PlainMaker(self.shelf)
        self.catalog = Catalog.empty("test")
        self.service = Environments(
            lambda: self.catalog, self.maker, self.shelf, may_install=may_install, now_ns=lambda: 5
        )

    def pin(self, asked: Asked, name: str, *, reason: Reason = Reason.INSTALLED) -> None:
        pinned = Pinned(asked, lock(name))
        decide = pin_environment(SHARED, pinned, at_ns=self.catalog.number, reason=reason)
        self.catalog = apply_all(self.catalog, decide(self.catalog), self.catalog.number + 1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.service.stop()


def test_what_is_asked_for_is_locked_and_made(world: World) -> None:
    found = world.service.prepare(OURS, SIX).result(10)

    assert (found.asked, found.lock) == (SIX, lock("six==1.0"))
    assert found.environment == world.shelf.open(found.lock.id)
    assert world.service.jobs() == ()


def test_those_who_ask_for_the_same_meanwhile_get_one_answer(world: World) -> None:
    world.maker.go_on.clear()
    answers = [world.service.prepare(Label("db", str(n)), SIX) for n in range(5)]

    assert [job.label.trigger for job in world.service.jobs()] == ["0", "1", "2", "3", "4"]
    world.maker.go_on.set()

    assert len({answer.result(10).environment for answer in answers}) == 1
    assert world.maker.made == [lock("six==1.0").id]


def test_two_ways_to_ask_for_one_lock_make_one_environment(world: World) -> None:
    world.maker.newest = {"six": "1.0"}

    answers = [world.service.prepare(OURS, asked) for asked in (SIX, Asked(("six",)))]

    assert len({answer.result(10).lock for answer in answers}) == 1
    assert world.maker.made == [lock("six==1.0").id]


def test_a_lock_that_is_known_is_not_looked_for_again(world: World) -> None:
    asked = Asked(("six",))
    world.pin(asked, "six==0.9")
    world.shelf.put(lock("six==0.9").id)
    world.maker.newest = {"six": "1.0"}

    known, fresh = (
        world.service.prepare(OURS, asked),
        world.service.prepare(OURS, asked, fresh=True),
    )

    assert known.done()
    assert known.result().lock == lock("six==0.9")
    assert fresh.result(10).lock == lock("six==1.0")


def test_a_lock_that_was_gone_back_to_is_nothing_for_others(world: World) -> None:
    asked = Asked(("six",))
    world.pin(asked, "six==0.9")
    world.pin(asked, "six==0.8", reason=Reason.ROLLED_BACK)
    world.maker.newest = {"six": "1.0"}

    assert world.service.prepare(OURS, asked).result(10).lock == lock("six==1.0")


def test_a_known_environment_that_is_gone_or_damaged_is_made_of_the_same_lock(world: World) -> None:
    world.pin(SIX, "six==1.0")
    id_ = lock("six==1.0").id

    world.service.prepare(OURS, SIX).result(10)
    world.shelf.broken[id_] = "a file is missing"
    world.service.prepare(OURS, SIX).result(10)

    assert world.maker.made == [id_, id_]
    assert world.maker.kept == []
    assert world.service.condition(id_) == Condition(True, None, 7)


def test_what_cannot_be_had_is_told_and_leaves_nothing(world: World) -> None:
    world.maker.unavailable = {"six==1.0"}

    with pytest.raises(PackagesUnavailable, match=r"six==1\.0 is nowhere"):
        world.service.prepare(OURS, SIX).result(10)

    assert world.shelf.there == {}
    [job] = world.service.jobs()
    assert (job.state, job.error, job.last_line, job.began_ns) == (
        JobState.FAILED,
        "six==1.0 is nowhere",
        "looking for versions",
        5,
    )
    world.maker.unavailable = set()
    assert world.service.prepare(OURS, SIX).result(10).lock == lock("six==1.0")


def test_a_build_that_fails_is_told_and_the_next_one_begins_anew(world: World) -> None:
    world.maker.failure = InstallFailed("no room")
    with pytest.raises(InstallFailed):
        world.service.prepare(OURS, SIX).result(10)
    world.maker.failure = None

    assert world.service.prepare(OURS, SIX).result(10).environment


def test_a_server_that_installs_nothing_serves_what_is_there(tmp_path: Path) -> None:
    world = World(tmp_path, may_install=False)
    world.pin(SIX, "six==1.0")
    world.shelf.put(lock("six==1.0").id)

    assert world.service.prepare(OURS, SIX).result(0).lock == lock("six==1.0")
    assert world.service.prepare(SHARED_LABEL, Asked()).result(10).lock == lock()
    with pytest.raises(InstallDisabled):
        world.service.prepare(OURS, TOML)
    with pytest.raises(InstallDisabled):
        world.service.prepare(OURS, SIX, fresh=True)
    world.service.stop()


def test_too_many_are_told_to_come_back(world: World) -> None:
    world.maker.go_on.clear()
    answers = [world.service.prepare(OURS, Asked((f"a=={n}",))) for n in range(64)]

    with pytest.raises(Busy):
        world.service.prepare(OURS, Asked(("b==1",)))

    world.maker.go_on.set()
    wait(answers, 10)
    assert world.service.prepare(OURS, Asked(("b==1",))).result(10)


def test_a_stop_gives_up_what_is_made_and_what_waits(world: World) -> None:
    began = threading.Event()
    world.maker.on_lock = began.set
    world.maker.go_on.clear()
    answers = [world.service.prepare(OURS, Asked((f"a=={n}",))) for n in range(5)]
    assert began.wait(10)

    world.service.stop()

    assert [type(answer.exception(0)) for answer in answers] == [Stopping] * 5
    assert world.shelf.there == {}
    with pytest.raises(Stopping):
        world.service.prepare(OURS, SIX)


def test_what_is_made_anew_is_told_from_what_was_there(world: World) -> None:
    found = world.service.prepare(OURS, SIX).result(10)
    before = world.service.renewals(found.lock.id)

    world.service.rebuild(OURS, SIX, found.lock).result(10)
    assert world.service.renewals(found.lock.id) == before
    world.service.rebuild(OURS, SIX, found.lock, anew=True).result(10)

    assert world.service.renewals(found.lock.id) == before + 1


def test_only_what_nobody_wants_is_collected(world: World) -> None:
    ids = [world.service.prepare(OURS, asked).result(10).lock.id for asked in (SIX, TOML)]
    world.shelf.old = ids
    world.shelf.used.clear()

    world.service.collect(7.0, {ids[0]})

    assert list(world.shelf.there) == [ids[0]]
    assert world.service.condition(ids[1]) == Condition(is_there=False)


def test_what_was_found_for_somebody_is_not_collected_before_it_is_in_service(
    world: World,
) -> None:
    found = world.service.prepare(OURS, SIX).result(10)
    world.shelf.old = [found.lock.id]
    world.shelf.used.clear()

    world.service.rebuild(OURS, SIX, found.lock).result(10)
    world.service.collect(7.0, ())

    assert list(world.shelf.there) == [found.lock.id]
