"""What makes and keeps the environments of plugins."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.config import Config
from engine.environments.backend import Supply
from engine.environments.collecting import Collector
from engine.environments.enclosed import EnclosedRun
from engine.environments.environment import Environment
from engine.environments.installation import Wanted
from engine.environments.installer import Installer
from engine.environments.interpreters import Interpreters
from engine.environments.listing import installed
from engine.environments.lodging import Lodging
from engine.environments.pending import following
from engine.environments.probing import modules_asked, probe_imports
from engine.environments.service import Environments
from engine.environments.shared import SHARED_NAME, SharedPlace
from engine.environments.shelf import Shelf
from engine.environments.standing import StandingEnvironment
from engine.environments.walls import Walls
from engine.environments.workshop import Tools, Workshop, backend_of
from engine.model.limits import Limits
from engine.model.lock import SHARED, Asked, EnvironmentChange, change_of
from engine.model.trigger import Trigger
from engine.plugins.code import Report
from engine.plugins.source import PluginCode, PluginFolder
from engine.query.environment_table import BuildRow, Kept, environment_table
from engine.query.system_tables import Provider
from engine.sandbox.sandbox import Sandbox
from engine.service import CrashHandler
from engine.triggers.following import FollowedCode
from engine.triggers.provisioning import Provisioning
from engine.triggers.wishes import Wishes, names_of

__all__ = ["PackageServices"]

_DAY_S = 86_400.0
# What a trigger may use is not known to a package that several may import.
_PROBE_LIMITS = Limits(memory_bytes=2 << 30)


class PackageServices:
    """The shelf, who fills it, and who lives there.

    Args:
        config: of the server.
        catalog: holds the pins.
        sandbox: around installers; open already.
        clock: of jobs.
        on_crash: as for every service.
        in_use: returns the folders of environments that workers run in.
        wake: has the workers of a trigger, by id, look whether they are outdated; None for all.
        plugins: what they ask for stands in them.
        note: writes why something failed to the log of a trigger, by its name.
    """

    def __init__(  # noqa: PLR0913  what it joins
        self,
        config: Config,
        catalog: CatalogStore,
        sandbox: Sandbox,
        clock: Clock,
        on_crash: CrashHandler,
        *,
        in_use: Callable[[], Collection[Path]],
        wake: Callable[[int | None], None],
        plugins: PluginFolder,
        note: Callable[[str, str], None],
    ) -> None:
        settings, data_dir = config.packages, Path(config.data_dir).absolute()
        own_dir = data_dir / config.node_id
        self.runtime_dir = data_dir / "runtime"
        self._walls = Walls(sandbox, own_dir / "installing")
        self._limits = config.sandbox.limits_of(_PROBE_LIMITS)
        self.run = EnclosedRun(self._walls, settings.hosts)
        supply = Supply(
            cache_dir=Path(settings.cache_dir or data_dir / "package-cache").absolute(),
            wheel_dir=Path(settings.wheel_dir).absolute() if settings.wheel_dir else None,
            build_from_source=settings.build_from_source,
            links=sandbox.is_on,
            timeout_s=settings.install_timeout_s,
        )
        shelf = Shelf(own_dir / "environments", supply)
        tools = Tools(
            run=self.run,
            stop=self.run.stop,
            backend=backend_of(settings.manager, supply),
            supply=supply,
            interpreters=Interpreters(map(Path, settings.python_dirs)),
            shelf=shelf,
            runtime_dir=self.runtime_dir,
            probe=self._probe,
        )
        self.environments = Environments(
            lambda: catalog.catalog,
            Workshop(tools),
            shelf,
            may_install=settings.manager != "disabled",
            now_ns=clock.now_ns,
        )
        given = settings.environment_dir
        path = Path(given or Path(config.plugin_dir) / SHARED_NAME).absolute()
        self.standing = StandingEnvironment(path, self.environments.runtime)
        self.lodging = Lodging(
            lambda: catalog.catalog,
            self.environments,
            SharedPlace(path, shelf.root, is_given=bool(given)),
            self.standing,
        )
        self._installer = Installer(
            lambda: self.standing.of(SHARED).environment,
            settings.manager,
            self.run,
            supply,
            note_change=self.standing.note_changed,
            on_changed=partial(wake, None),
        )
        self._catalog = catalog
        self._wishes = Wishes(plugins)
        self.provisioning = Provisioning(
            catalog,
            self.environments,
            self.lodging,
            self._wishes,
            clock,
            wake=wake,
            install_in_place=self._install_in_place,
            note=note,
        )
        self._collector = Collector(
            lambda: self.lodging.collect(settings.unused_days * _DAY_S, in_use()), on_crash
        )

    @property
    def table(self) -> Provider:
        """The table of environments."""
        return environment_table(self._builds, self._kept)

    def start(self, closing: ExitStack) -> None:
        """Put the folders in order; whatever is missing is built when it is needed."""
        self.environments.start()
        self.lodging.lead_to_shared()
        self._collector.start()
        closing.callback(self._collector.stop)

    def follow(self, trigger: Trigger, code: PluginCode, report: Report) -> PluginCode:
        """Return a trigger's code, whose packages follow it."""
        return FollowedCode(
            trigger,
            code,
            catalog=lambda: self._catalog.catalog,
            wishes=self._wishes,
            provisioning=self.provisioning,
            report=report,
        )

    def _install_in_place(self, wanted: Wanted) -> Future[EnvironmentChange]:
        """Install into the shared environment that is the user's own."""
        environment = self.standing.of(SHARED).environment
        before = installed(environment)
        python = ".".join(map(str, environment.version[:2]))
        return following(
            self._installer.submit(wanted),
            lambda _: change_of(before, installed(environment), python=python),
        )

    def stop(self) -> None:
        """Give up what is being built or installed, at once."""
        self.run.stop()
        self._installer.stop()
        self.environments.stop()
        self.provisioning.stop()

    def _builds(self) -> list[BuildRow]:
        return [
            BuildRow(
                database=job.label.database or None,
                trigger=job.label.trigger,
                state=job.state.value,
                requirements=job.asked.requirements,
                began_ns=job.began_ns,
                last_line=job.last_line,
                error=job.error,
            )
            for job in self.environments.jobs()
        ]

    def _kept(self, lock_id: str) -> Kept:
        condition = self.environments.condition(lock_id)
        size_bytes = condition.size_bytes if condition.is_there else None
        return Kept(size_bytes, condition.reason_broken)

    def _probe(self, environment: Environment, runtime: Path, asked: Asked) -> None:
        modules = modules_asked(environment, names_of(asked))
        probe_imports(self._walls, environment, runtime, modules, self._limits)
