"""Start the worker of one trigger: its folder, its endpoint, its launch document."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgpack

from engine.cache import Mirror
from engine.model.trigger import Kind, Trigger, kind
from engine.plugins.environments import Environment
from engine.plugins.source import Source
from engine.workers.callbacks import Callbacks
from engine.workers.conversation import Conversation, LogSink, RunLimits
from engine.workers.lane import Lane
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises
from engine.workers.process import Launch, SpawnFailed, WorkerProcess
from worker.wire.messages import Load

__all__ = ["Spawner", "Worker"]

_TOKEN_BYTES = 32
_KINDS = {Kind.WAL: "wal", Kind.SCHEDULE: "schedule", Kind.REQUEST: "request"}
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class Worker:
    """A started worker and the conversation with it."""

    def __init__(
        self,
        process: WorkerProcess,
        lane: Lane,
        conversation: Conversation,
        mirror: Mirror,
        *,
        token: bytes,
        folder: Path,
    ) -> None:
        self.process = process
        self.conversation = conversation
        self.mirror = mirror
        self.started_s = time.monotonic()
        self._lane = lane
        self._token = token
        self._folder = folder

    def greet(self, now_ns: int) -> None:
        """Bring the worker to rest; see `Conversation.greet`."""
        self.conversation.greet(self._token, now_ns)

    def load(self, source: Source) -> None:
        """Tell the worker which plugin to run from now on."""
        self.conversation.load(Load(source.name, source.text, source.folder))

    def end(self) -> None:
        """Kill the process group and release what belongs to it."""
        self.process.end()
        self._lane.close()
        self.process.close()
        shutil.rmtree(self._folder, ignore_errors=True)


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
    ) -> None:
        self._premises = premises
        self._callbacks = callbacks
        self._trigger = trigger
        self._database = database
        self._mirror = mirror or Mirror()

    def spawn(self, nudge: Nudge, *, is_stopping: Callable[[], bool], log: LogSink) -> Worker:
        """Start a worker; it has not said anything yet.

        Raises:
            PluginError: its environment is broken or the process cannot be started.
        """
        try:
            return self._spawn(nudge, is_stopping, log)
        except OSError as error:
            raise SpawnFailed(f"cannot start a worker: {error}") from error

    def _spawn(self, nudge: Nudge, is_stopping: Callable[[], bool], log: LogSink) -> Worker:
        environment, runtime = self._premises.environment()
        folder = _private_folder(self._premises.sockets, f"{self._trigger.id}-")
        endpoint = f"ipc://{folder}/0"
        token = secrets.token_bytes(_TOKEN_BYTES)
        lane: Lane | None = None
        try:
            lane = Lane(self._premises.context, endpoint)
            launch = self._launch(environment, runtime, endpoint, token)
            process = WorkerProcess(launch, self._trigger.name)
        except BaseException:
            if lane is not None:
                lane.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        conversation = Conversation(
            lane,
            process,
            nudge,
            callbacks=self._callbacks,
            mirror=self._mirror,
            log=log,
            is_stopping=is_stopping,
            limits=self._limits(),
        )
        return Worker(process, lane, conversation, self._mirror, token=token, folder=folder)

    def _limits(self) -> RunLimits:
        limit_s = self._trigger.settings.time_limit_s
        limits = self._premises.limits
        return limits if limit_s is None else replace(limits, run_s=limit_s)

    def _launch(
        self, environment: Environment, runtime: Path, endpoint: str, token: bytes
    ) -> Launch:
        plugin_dir = self._premises.plugin_dir
        arguments = self._trigger.arguments
        document = {
            "endpoints": [endpoint],
            "token": token,
            "trigger": self._trigger.name,
            "database": self._database,
            "kind": _KINDS[kind(self._trigger.spec)],
            "arguments": dict(arguments) if arguments is not None else None,
            "plugin_dir": str(plugin_dir),
            "site_packages": [str(path) for path in environment.site_packages],
            "runtime_dir": str(runtime),
            "mirror_limit": self._premises.mirror_value_bytes,
        }
        return Launch(
            environment.interpreter,
            runtime,
            msgpack.packb(document),
            _variables(plugin_dir, environment),
            plugin_dir,
        )


def _private_folder(parent: Path, prefix: str) -> Path:
    """Make a folder in one that may have been removed: what is idle in /tmp is cleaned away."""
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    if parent.is_symlink() or parent.stat().st_uid != os.getuid():
        raise SpawnFailed(f"{parent} belongs to somebody else; remove it or restart the server")
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


def _variables(plugin_dir: Path, environment: Environment) -> dict[str, str]:
    """Build the worker's environment: nothing of the server's own that could be a secret."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "HOME": str(plugin_dir),
        "TZ": "UTC",
        "VIRTUAL_ENV": str(environment.root),
        "PLUGIN_DIR": str(plugin_dir),
        "INFLUXDB3_PLUGIN_DIR": str(plugin_dir),
    }
