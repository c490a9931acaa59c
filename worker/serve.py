"""The lanes of a process: greet, restore the cache, then run events until told to stop."""

from __future__ import annotations

import os
import sys
import threading

from worker.cache import Namespace
from worker.invocation import Invoker
from worker.lane import Lane, open_context
from worker.launch import Launch
from worker.loader import Loader
from worker.mirror import Mirrors
from worker.process import leave
from worker.wire import API_VERSION, PROTOCOL_VERSION, RemoteWireError
from worker.wire import messages as m

__all__ = ["Worker"]

_CONNECT_TIMEOUT_S = 10.0
_WELCOME_TIMEOUT_S = 60.0


class Worker:
    """Everything that the lanes share; made by the main thread."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._loader = Loader()
        self._namespace = Namespace()
        self._mirrors = Mirrors(self._namespace, launch.mirror_limit)
        self._context = open_context()
        self._lanes: list[Lane] = []

    def connect(self) -> None:
        """Connect all lanes; later no socket can be made.

        Raises:
            LaneClosed: nobody listens.
        """
        self._lanes = [Lane(self._context, endpoint) for endpoint in self._launch.endpoints]
        for lane in self._lanes:
            lane.await_connected(_CONNECT_TIMEOUT_S)

    def serve(self) -> None:
        """Serve all lanes: the first here, each further one in a thread of its own."""
        for number in range(1, len(self._lanes)):
            threading.Thread(
                target=self._serve_beside, args=(number,), name=f"lane-{number}", daemon=True
            ).start()
        self._serve(0)

    def _serve_beside(self, number: int) -> None:
        try:
            self._serve(number)
        except BaseException:  # noqa: BLE001 - the engine sees the end of the process, not of a lane
            sys.excepthook(*sys.exc_info())
            leave(1)

    def close(self) -> None:
        """Close the first lane, whose last messages may still leave."""
        self._lanes[0].close()

    def _serve(self, number: int) -> None:
        lane = self._lanes[number]
        invoker = Invoker(
            lane,
            self._loader,
            self._namespace,
            self._mirrors,
            database=self._launch.database,
            arguments=self._launch.arguments,
        )
        self._greet(lane, number)
        while True:
            match lane.receive():
                case m.Load() as load:
                    self._loader.load(load)
                case m.WalRun() | m.ScheduledRun() | m.RequestRun() as event:
                    invoker.run(event)
                case m.Stop():
                    return
                case other:
                    raise RemoteWireError(f"{type(other).__name__} between two runs")

    def _greet(self, lane: Lane, number: int) -> None:
        python = ".".join(map(str, sys.version_info[:3]))
        token = self._launch.token
        lane.send(m.Hello(token, PROTOCOL_VERSION, API_VERSION, os.getpid(), python, number))
        welcome = lane.receive(_WELCOME_TIMEOUT_S)
        if not isinstance(welcome, m.Welcome):
            raise RemoteWireError(f"{type(welcome).__name__} instead of Welcome")
        for _ in range(welcome.restores):
            restore = lane.receive(_WELCOME_TIMEOUT_S)
            if not isinstance(restore, m.Restore):
                raise RemoteWireError(f"{type(restore).__name__} instead of Restore")
            self._namespace.restore(restore.key, restore.value, restore.expires_ns)
            self._mirrors.note_restored(restore.key, restore.value, restore.expires_ns)
        lane.send(m.Ready())
