"""Real installers, and a cache of packages that all tests of a run share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.environments.backend import Supply
from engine.environments.enclosed import EnclosedRun
from engine.environments.environment import Environment
from engine.environments.interpreters import Interpreters
from engine.environments.running import Command, Finished, OnLine, ignore
from engine.environments.shelf import Shelf
from engine.environments.workshop import Tools, Workshop, backend_of
from engine.model.lock import Asked


@dataclass
class Bench:
    """A workshop, what it ran and what it tried."""

    workshop: Workshop
    shelf: Shelf
    supply: Supply
    commands: list[Command] = field(default_factory=list)
    tried: list[Asked] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def leftovers(self) -> list[Path]:
        building = self.supply.cache_dir / "building"
        return [*self.shelf.root.glob(".*"), *building.glob("building-lock-*")]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("BULKHEAD_TEST_CACHE")
    if given:
        return Path(given)
    base = tmp_path_factory.getbasetemp()
    is_one_of_many = "PYTEST_XDIST_WORKER" in os.environ
    return (base.parent if is_one_of_many else base) / "package-cache"


@pytest.fixture(scope="session")
def interpreters() -> Interpreters:
    return Interpreters()


@pytest.fixture
def bench(
    tmp_path: Path,
    cache_dir: Path,
    interpreters: Interpreters,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Bench]]:
    """Return what furnishes a workshop; further keywords go to the supply."""
    for name in [name for name in os.environ if name.startswith(("PIP_FIND", "PIP_EXTRA"))]:
        monkeypatch.delenv(name)
    unconfined = EnclosedRun.unconfined(tmp_path / "scratch")

    def furnish(
        package_manager: str = "uv", run: EnclosedRun = unconfined, **wanted: object
    ) -> Bench:
        supply = Supply(**{"cache_dir": cache_dir, "links": True, "timeout_s": 60.0, **wanted})
        shelf = Shelf(tmp_path / "environments", supply)

        def noted(command: Command, on_line: OnLine = ignore) -> Finished:
            made.commands.append(command)
            return run(command, on_line)

        def tried(environment: Environment, runtime: Path, asked: Asked) -> None:
            assert (runtime / "__main__.py").exists()
            made.tried.append(asked)

        tools = Tools(
            run=noted,
            stop=run.stop,
            backend=backend_of(package_manager, supply),
            supply=supply,
            interpreters=interpreters,
            shelf=shelf,
            runtime_dir=tmp_path / "runtime",
            probe=tried,
        )
        made = Bench(Workshop(tools), shelf, supply)
        return made

    yield furnish
    unconfined.stop()
