"""The decision to change what a trigger's plugin may reach and use.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.catalog.change import Change, ConfineTrigger, Decide
from engine.catalog.state import Catalog
from engine.model.grants import Grants
from engine.model.limits import Limits

__all__ = ["confine_trigger"]


def confine_trigger(
    database_name: str, trigger_name: str, grants: Grants | None, limits: Limits | None
) -> Decide:
    """Decide that a trigger has other grants or limits; nothing when it has these already.

    Args:
        database_name: of the trigger.
        trigger_name: within its database.
        grants: in place of those that it has; None to keep them.
        limits: likewise.

    Raises (the decision):
        DatabaseNotFound, NotFound.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        trigger = catalog.trigger_named(database_name, trigger_name)
        before = ConfineTrigger(trigger.id, trigger.settings.grants, trigger.settings.limits)
        after = ConfineTrigger(
            trigger.id,
            before.grants if grants is None else grants,
            before.limits if limits is None else limits,
        )
        return [] if after == before else [after]

    return decide
