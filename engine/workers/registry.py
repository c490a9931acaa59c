"""The running triggers: one supervisor each, started and stopped as the catalog says.

`start`, `stop` and `stop_all` are called by one thread at a time (the definitions hold a lock);
`announce_end`, `announce_due`, `submit`, `redrive` and `renew` by any.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future

from engine.errors import TriggerNotRunning, UnknownEndpoint
from engine.model.entry import Position
from engine.model.event import PluginResponse, RequestEvent
from engine.model.trigger import Trigger
from engine.workers.assembly import Site, SupervisorMaker
from engine.workers.inbox import Redriven, RequestInbox
from engine.workers.schedule_inbox import ScheduleInbox
from engine.workers.supervisor import Supervisor
from engine.workers.wal_inbox import WalInbox

__all__ = ["Registry"]

log = logging.getLogger(__name__)
_BETWEEN_RENEWALS_S = 0.05  # a start takes about twice that of a core


class Registry:
    """All supervisors by trigger id; `_lock` guards the map."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._maker = SupervisorMaker(site)
        self._lock = threading.Lock()
        self._running: dict[int, Supervisor] = {}
        self._stopping = threading.Event()

    def start_all(self, positions: Mapping[int, Position], ticks: Mapping[int, int]) -> None:
        """Start every enabled trigger where it left off."""
        for trigger in self._site.catalog.catalog.triggers.values():
            if not trigger.disabled:
                self._start_at_boot(trigger, positions, ticks)

    def start(
        self, trigger: Trigger, position: Position | None = None, tick_ns: int | None = None
    ) -> None:
        """Start a trigger.

        Args:
            trigger: as the catalog holds it.
            position: log position to go on from, if behind the trigger's own start.
            tick_ns: last completed tick, if any.

        Raises:
            PluginFileError: its plugin cannot be found.
        """
        supervisor = self._maker.make(trigger, position, tick_ns)
        with self._lock:
            self._running[trigger.id] = supervisor
        supervisor.start()

    def stop(self, trigger_id: int) -> None:
        """Stop a trigger: cancel its run, grant it the grace, end its worker."""
        with self._lock:
            supervisor = self._running.pop(trigger_id, None)
        if supervisor is not None:
            self._close(supervisor)

    def stop_all(self) -> None:
        """Stop every trigger, all at the same time."""
        self._stopping.set()
        with self._lock:
            supervisors = list(self._running.values())
            self._running.clear()
        for supervisor in supervisors:
            supervisor.request_stop()
        for supervisor in supervisors:
            self._close(supervisor)

    def supervisors(self) -> tuple[Supervisor, ...]:
        """Return the running supervisors."""
        with self._lock:
            return tuple(self._running.values())

    def renew(self) -> None:
        """Have workers that rest look whether they are outdated, one trigger after the other."""
        for supervisor in self.supervisors():
            supervisor.wake()
            self._stopping.wait(_BETWEEN_RENEWALS_S)

    def announce_end(self, database_id: int, end: int) -> None:
        """Tell the WAL triggers of a database how far the log has come."""
        for supervisor in self.supervisors():
            inbox = supervisor.inbox
            if isinstance(inbox, WalInbox) and supervisor.trigger.database_id == database_id:
                inbox.announce(end)

    def announce_due(self, trigger_id: int, due_ns: int) -> None:
        """Tell a scheduled trigger that ticks are due."""
        with self._lock:
            supervisor = self._running.get(trigger_id)
        if supervisor is not None and isinstance(supervisor.inbox, ScheduleInbox):
            supervisor.inbox.announce(due_ns)

    def submit(self, trigger_id: int, event: RequestEvent) -> Future[PluginResponse]:
        """Queue a request for a trigger.

        Raises:
            UnknownEndpoint: it is not running.
            Busy: too many requests wait.
        """
        with self._lock:
            supervisor = self._running.get(trigger_id)
        if supervisor is None or not isinstance(supervisor.inbox, RequestInbox):
            raise UnknownEndpoint
        return supervisor.inbox.submit(event)

    def redrive(self, trigger_id: int, work: Redriven) -> None:
        """Run an event again that was given up, before all others of its trigger.

        Raises:
            TriggerNotRunning: the trigger does not run.
        """
        with self._lock:
            supervisor = self._running.get(trigger_id)
        if supervisor is None or not supervisor.inbox.redrive(work):
            raise TriggerNotRunning(work.letter.trigger_name)

    def _start_at_boot(
        self, trigger: Trigger, positions: Mapping[int, Position], ticks: Mapping[int, int]
    ) -> None:
        position = positions.get(trigger.id)
        try:
            self.start(trigger, position, ticks.get(trigger.id))
        except Exception as error:
            text = f"failed to start trigger at boot; continuing in degraded state: {error}"
            now_ns = self._site.clock.now_ns()
            self._site.ring.add(now_ns, trigger.name, "ERROR", text)
            log.exception("trigger not started", extra={"trigger": trigger.name})

    def _close(self, supervisor: Supervisor) -> None:
        config = self._site.config
        if isinstance(supervisor.inbox, RequestInbox):
            supervisor.inbox.close()
        supervisor.stop(timeout_s=config.cancel_grace_s + config.start_timeout_s)
