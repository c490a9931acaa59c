"""HTTP requests to plugins: a path is looked up in the catalog, the request queued."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from engine.catalog.store import CatalogStore
from engine.errors import UnknownEndpoint
from engine.model.event import PluginResponse, RequestEvent

__all__ = ["RequestRouter"]


class RequestRouter:
    """Any thread may call."""

    def __init__(
        self,
        catalog: CatalogStore,
        submit: Callable[[int, RequestEvent], Future[PluginResponse]],
    ) -> None:
        self._catalog = catalog
        self._submit = submit

    def origins(self, path: str) -> tuple[str, ...] | None:
        """Return the origins whose pages may read the answers at a path; None: no such path."""
        trigger = self._catalog.catalog.request_trigger(path)
        return None if trigger is None else trigger.settings.cors

    def submit(self, path: str, event: RequestEvent) -> Future[PluginResponse]:
        """Queue a request for the plugin at a path.

        Returns:
            A future for the answer; it raises PluginFailed, WorkerDied, RunTimedOut or Stopping.

        Raises:
            UnknownEndpoint: no enabled trigger has this path.
            Busy: too many requests wait for it.
        """
        trigger = self._catalog.catalog.request_trigger(path)
        if trigger is None or trigger.disabled:
            raise UnknownEndpoint
        return self._submit(trigger.id, event)
