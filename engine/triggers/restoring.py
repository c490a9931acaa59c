"""Ways back: to packages that were in service before, and to an environment that is whole.

Called in the turn of whoever is concerned, in a thread that may wait for the disk.
"""

from __future__ import annotations

from concurrent.futures import Future

from engine.catalog.store import CatalogStore
from engine.environments.lodging import Lodging, label_of
from engine.environments.pending import following
from engine.environments.service import Environments
from engine.errors import InvalidParameter, UserError
from engine.model.lock import SHARED, Asked, EnvironmentChange, Lock, Pin, Reason
from engine.triggers.switching import Switchboard

__all__ = ["NoEarlierEnvironment", "Restoration"]


class NoEarlierEnvironment(UserError):
    """There is no environment as it is asked for to go back to."""

    code = "no_earlier_environment"
    http_status = 409


class Restoration:
    """Goes back.

    Args:
        catalog: holds the pins and their history.
        environments: makes what is not there any more.
        lodging: tells what is in service.
        switchboard: commits.
    """

    def __init__(
        self,
        catalog: CatalogStore,
        environments: Environments,
        lodging: Lodging,
        switchboard: Switchboard,
    ) -> None:
        self._catalog = catalog
        self._environments = environments
        self._lodging = lodging
        self._switchboard = switchboard

    def roll_back(self, target: int, lock_id: str | None) -> Future[EnvironmentChange]:
        """Put an earlier lock into service; see `Provisioning.rollback`."""
        if target == SHARED and self._lodging.lock_of(SHARED) is None:
            raise NoEarlierEnvironment(
                f"the shared environment {self._lodging.path} is not the server's own, which keeps "
                "no history of it; install the versions from before"
            )
        lock, asked = self._earlier(target, lock_id)
        label = label_of(self._catalog.catalog, target)
        prepared = self._environments.rebuild(label, asked, lock)
        return following(
            prepared, lambda found: self._switchboard.pin(target, found, Reason.ROLLED_BACK)
        )

    def repair(self, target: int) -> Future[EnvironmentChange]:
        """Make an environment anew; see `Provisioning.repair`."""
        lock = self._lodging.lock_of(target)
        if lock is None:
            raise InvalidParameter(
                f"the shared environment {self._lodging.path} is not the server's own; remove it "
                "to have one made, or make it anew yourself"
            )
        catalog = self._catalog.catalog
        pin, label = catalog.pins.get(target), label_of(catalog, target)
        asked = pin.asked if pin is not None else Asked()
        if self._environments.serves(asked, lock):
            prepared = self._environments.rebuild(label, asked, lock, anew=True)
        else:  # its Python has gone
            prepared = self._environments.prepare(label, asked, fresh=True, keep=lock)
        return following(
            prepared, lambda found: self._switchboard.pin(target, found, Reason.REPAIRED)
        )

    def _earlier(self, target: int, lock_id: str | None) -> tuple[Lock, Asked]:
        catalog = self._catalog.catalog
        pin, label = catalog.pins.get(target), label_of(catalog, target)
        if pin is None and target != SHARED:
            raise NoEarlierEnvironment(
                f"{catalog.trigger_by_id(target).name!r} asks for no packages, and so runs in the "
                "environment that is shared; go back there with: bulkhead rollback environment "
                "--shared"
            )
        if pin is None:
            raise NoEarlierEnvironment(f"nothing to go back to: {label} was never changed")
        earlier = list(dict.fromkeys(switch.lock_id for switch in reversed(pin.history)))
        if lock_id is None:
            chosen = pin.previous
        else:
            fitting = [found for found in earlier if found.startswith(lock_id)]
            chosen = fitting[0] if len(fitting) == 1 else None
        if chosen is None:
            raise NoEarlierEnvironment(
                f"nothing to go back to: {label} had no other lock than {earlier[0]}"
                if lock_id is None
                else f"the history of {label} has not one {lock_id!r}, but {', '.join(earlier)}"
            )
        return catalog.locks[chosen], _asked_then(pin, chosen) if target == SHARED else pin.asked


def _asked_then(pin: Pin, lock_id: str) -> Asked:
    """Return what an earlier lock was made for.

    It is for the environment that all share, where each installation adds to what was asked. What a
    trigger asks for stands in its plugin, and going back does not change that.
    """
    return next(switch.asked for switch in reversed(pin.history) if switch.lock_id == lock_id)
