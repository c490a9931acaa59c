"""The running triggers: one supervisor each, started and stopped as the catalog says.

`start`, `stop` and `stop_all` are called by one thread at a time (the definitions hold a lock);
`announce_end`, `announce_due`, `submit`, `redrive`, `renew`, `hurry`, `wake` and `confine` by any.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future

from engine.errors import TriggerNotRunning, UnknownEndpoint
from engine.faultpoint import reach
from engine.model.entry import Position, Run, RunEntry
from engine.model.event import PluginResponse, RequestEvent
from engine.model.lag import Lag
from engine.model.trigger import Trigger
from engine.workers.assembly import Site, SupervisorMaker
from engine.workers.bookmarks import Bookmark
from engine.workers.inbox import Redriven, RequestInbox
from engine.workers.schedule_inbox import ScheduleInbox
from engine.workers.supervisor import Supervisor
from engine.workers.wal_inbox import WalInbox

__all__ = ["Registry"]

log = logging.getLogger(__name__)
_ANEW = Bookmark()
_BETWEEN_RENEWALS_S = 0.05  # a start takes about twice that of a core


class Registry:
    """All supervisors by trigger id; `_lock` guards the map."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._maker = SupervisorMaker(site)
        self._lock = threading.Lock()
        self._running: dict[int, Supervisor] = {}
        self._stopping = threading.Event()

    def start_all(self, bookmarks: Mapping[int, Bookmark]) -> None:
        """Start every enabled trigger where it left off."""
        for trigger in self._site.catalog.catalog.triggers.values():
            if not trigger.disabled:
                self._start_at_boot(trigger, bookmarks.get(trigger.id, _ANEW))

    def start(self, trigger: Trigger, bookmark: Bookmark = _ANEW) -> None:
        """Start a trigger.

        Args:
            trigger: as the catalog holds it.
            bookmark: where to go on, if that is behind the trigger's own start.

        Raises:
            PluginFileError: its plugin cannot be found.
        """
        supervisor = self._maker.make(trigger, bookmark)
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
        self.hurry()
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

    def hurry(self) -> None:
        """Have `renew` wait no more from now on: the server stops, and somebody waits for it."""
        self._stopping.set()

    def wake(self, trigger_id: int | None) -> None:
        """Have the workers of a trigger that rest look whether they are outdated; None for all."""
        if trigger_id is None:
            self.renew()
            return
        with self._lock:
            supervisor = self._running.get(trigger_id)
        if supervisor is not None:
            supervisor.wake()

    def confine(self, trigger: Trigger) -> None:
        """Have a trigger, if it runs, change over to a worker with its new grants and limits."""
        with self._lock:
            supervisor = self._running.get(trigger.id)
        if supervisor is not None:
            supervisor.confine(trigger)

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

    def lags(self) -> dict[int, Lag]:
        """Return how far each running WAL trigger is behind, by id."""
        return {trigger.id: inbox.lag() for trigger, inbox in self._wal_inboxes()}

    def lows(self) -> dict[int, int]:
        """Return by running WAL trigger the sequence below which it needs nothing more."""
        return {trigger.id: inbox.position for trigger, inbox in self._wal_inboxes()}

    def settle(self, durable: Mapping[int, Position], end: int) -> None:
        """Make it durable that WAL triggers have passed what does not concern them.

        Who needs the log no further can then be told from it; without this, a trigger whose tables
        are never written to would keep all of it.

        Args:
            durable: the positions that the log has.
            end: behind the newest published entry; the triggers are told of it.
        """
        for trigger, inbox in self._wal_inboxes():
            inbox.announce(end)
            if durable.get(trigger.id, Position(trigger.start)).low < inbox.position:
                self._commit_position(trigger, inbox)

    def give_up_before(self, sequence: int) -> None:
        """Have WAL triggers go on at a sequence: what is before it is going to be dropped.

        What they lose is counted and logged, and that they have passed it is durable on return.
        """
        for trigger, inbox in self._wal_inboxes():
            if inbox.give_up_before(sequence):
                reach("lag.gap_counted")
                self._commit_position(trigger, inbox)

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

    def _start_at_boot(self, trigger: Trigger, bookmark: Bookmark) -> None:
        try:
            self.start(trigger, bookmark)
        except Exception as error:
            text = f"failed to start trigger at boot; continuing in degraded state: {error}"
            now_ns = self._site.clock.now_ns()
            self._site.ring.add(now_ns, trigger.name, "ERROR", text)
            log.exception("trigger not started", extra={"trigger": trigger.name})

    def _wal_inboxes(self) -> list[tuple[Trigger, WalInbox]]:
        running = [(each.trigger, each.inbox) for each in self.supervisors()]
        return [(trigger, inbox) for trigger, inbox in running if isinstance(inbox, WalInbox)]

    def _commit_position(self, trigger: Trigger, inbox: WalInbox) -> None:
        progress = Position(inbox.position)
        entry = RunEntry(Run(trigger.id, ""), trigger.database_id, (), progress, ())
        self._site.commit(entry).result()
        reach("lag.position_committed")

    def _close(self, supervisor: Supervisor) -> None:
        config = self._site.config
        if isinstance(supervisor.inbox, RequestInbox):
            supervisor.inbox.close()
        supervisor.stop(timeout_s=config.cancel_grace_s + config.start_timeout_s)
