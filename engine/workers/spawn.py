"""Start the worker of one trigger: its folder, its endpoints, its launch document."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgpack

from engine.cache import Mirror
from engine.environments.home import Home
from engine.model.trigger import Kind, Trigger, kind
from engine.sandbox.sandbox import Order
from engine.workers.callbacks import Callbacks
from engine.workers.conversation import Conversation, RunLimits
from engine.workers.generation import Generation, LaneEnd, Worker
from engine.workers.lane import Lane
from engine.workers.premises import SOCKETS_MODE, Premises
from engine.workers.process import SpawnFailed, WorkerProcess
from engine.workers.quarters import Place
from engine.workers.roster import Watched

__all__ = ["Spawner"]

_TOKEN_BYTES = 32
_KINDS = {Kind.WAL: "wal", Kind.SCHEDULE: "schedule", Kind.REQUEST: "request"}


class Spawner:
    """Starts the workers of one trigger, one after the other; used by its supervisor's thread."""

    def __init__(
        self,
        premises: Premises,
        callbacks: Callbacks,
        trigger: Trigger,
        database: str,
        *,
        mirror: Mirror | None = None,
        home: Home | None = None,
    ) -> None:
        """Set up a spawner.

        Args:
            premises: those of all workers.
            callbacks: what workers may ask for.
            trigger: whose workers are started.
            database: its name.
            mirror: of the cache; an empty one if None.
            home: where they live, whatever the trigger's own home is; that if None.
        """
        self._premises = premises
        self._callbacks = callbacks
        self._trigger = trigger
        self._database = database
        self._mirror = mirror or Mirror()
        self._home = home

    def confine(self, trigger: Trigger) -> None:
        """Start workers with other grants and limits; those that run are outdated. Any thread."""
        self._trigger = trigger

    def watch_home(self) -> Callable[[], bool]:
        """Return a call that tells whether workers would live elsewhere, or in a repaired home."""
        return self._premises.homes.watch(self._trigger.id)

    def spawn(self, ends: Sequence[LaneEnd]) -> list[Worker]:
        """Start a process with a lane for each end; it has not said anything yet.

        Raises:
            PluginError: its environment is being built or broken, or the process cannot be
                started.
        """
        try:
            return self._spawn(ends)
        except OSError as error:
            raise SpawnFailed(f"cannot start a worker: {error}") from error

    def _spawn(self, ends: Sequence[LaneEnd]) -> list[Worker]:
        sandbox = self._premises.quarters.sandbox
        sandbox.check()
        is_outdated = self._watch()
        home = self._home or self._premises.home(self._trigger.id)
        folder = _private_folder(self._premises.sockets, f"{self._trigger.id}-")
        endpoints = [f"ipc://{folder}/{number}" for number in range(len(ends))]
        token = secrets.token_bytes(_TOKEN_BYTES)
        lanes: list[Lane] = []
        try:
            for endpoint in endpoints:
                lanes.append(Lane(self._premises.context, endpoint))  # noqa: PERF401  see below
            order = self._order(Place(home.environment, home.runtime, folder), endpoints, token)
            private_dir = self._check_disk(order)
            process = WorkerProcess(partial(sandbox.start, order), self._trigger.name)
        except BaseException:
            _give_up(lanes, folder)
            raise
        watched = self._watched(process, private_dir, home)
        roster = self._premises.roster
        try:
            generation = Generation(
                process, folder, len(ends), is_outdated, lambda: roster.remove(watched)
            )
        except BaseException:
            process.end()
            process.close()
            _give_up(lanes, folder)
            raise
        roster.add(watched)
        return [
            Worker(generation, lane, self._converse(lane, process, end), self._mirror, token)
            for lane, end in zip(lanes, ends, strict=True)
        ]

    def _watch(self) -> Callable[[], bool]:
        """Return a call that tells whether packages, view, grants or limits have changed since."""
        trigger = self._trigger
        have_packages_changed = self.watch_home()
        view = self._premises.quarters.watch_view(trigger)
        return lambda: have_packages_changed() or self._trigger is not trigger or view.has_changed()

    def _check_disk(self, order: Order) -> Path | None:
        """Return the private folder that is to be watched; refuse to go on filling a full one."""
        if not self._premises.quarters.sandbox.is_on:
            return None
        private_dir = Path(order.policy.private_dir)
        if order.limits.disk_bytes is not None:
            self._premises.disk.check(private_dir, order.limits.disk_bytes)
        return private_dir

    def _converse(self, lane: Lane, process: WorkerProcess, end: LaneEnd) -> Conversation:
        return Conversation(
            lane,
            process,
            end.nudge,
            callbacks=self._callbacks,
            mirror=self._mirror,
            log=end.log,
            is_stopping=end.is_stopping,
            limits=self._limits(),
        )

    def _watched(self, process: WorkerProcess, private_dir: Path | None, home: Home) -> Watched:
        trigger = self._trigger
        return Watched(
            trigger_id=trigger.id,
            trigger=trigger.name,
            database=self._database,
            process=process,
            limits=self._premises.quarters.limits(trigger),
            started_ns=time.time_ns(),
            private_dir=private_dir,
            environment_dir=home.environment.root,
        )

    def _limits(self) -> RunLimits:
        limit_s = self._premises.quarters.limits(self._trigger).time_s
        limits = self._premises.limits
        return limits if limit_s is None else replace(limits, run_s=limit_s)

    def _order(self, place: Place, endpoints: list[str], token: bytes) -> Order:
        quarters, trigger = self._premises.quarters, self._trigger
        policy = quarters.policy(trigger, place)
        arguments = trigger.arguments
        document = {
            "endpoints": endpoints,
            "token": token,
            "trigger": trigger.name,
            "database": self._database,
            "kind": _KINDS[kind(trigger.spec)],
            "arguments": dict(arguments) if arguments is not None else None,
            "plugin_dir": policy.private_dir,
            "site_packages": [str(path) for path in place.environment.site_packages],
            "runtime_dir": str(place.runtime),
            "environment": str(place.environment.root),
            "mirror_limit": self._premises.mirror_value_bytes,
        }
        return Order(
            policy=policy,
            grants=quarters.grants(trigger),
            limits=quarters.limits(trigger),
            label=trigger.name,
            command=(str(place.environment.interpreter), "-I", "-S", str(place.runtime)),
            document=lambda confinement: msgpack.packb({**document, "confinement": confinement}),
            own_address=quarters.own_address,
        )


def _give_up(lanes: Sequence[Lane], folder: Path) -> None:
    for lane in lanes:
        lane.close()
    shutil.rmtree(folder, ignore_errors=True)


def _private_folder(parent: Path, prefix: str) -> Path:
    """Make a folder in one that may have been removed: what is idle in /tmp is cleaned away."""
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
        parent.chmod(SOCKETS_MODE)  # whatever the umask of the server
    if parent.is_symlink() or parent.stat().st_uid != os.getuid():
        raise SpawnFailed(f"{parent} belongs to somebody else; remove it or restart the server")
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
