"""Start a program in the place of a worker, without any wall around it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.sandbox.policy import Policy
from engine.sandbox.sandbox import Enclosed, Order, Sandbox


def unconfined(folder: Path) -> Callable[[int], Enclosed]:
    """Return what starts the `__main__.py` of a folder."""
    own = str(folder)
    policy = Policy(
        trigger_id=1,
        uid=None,
        plugin_dir=own,
        private_dir=own,
        sockets_dir=own,
        runtime_dir=own,
        environment_dir=own,
        prefixes=(),
    )
    command = (sys.executable, "-I", "-S", own)
    order = Order(policy, Grants(), Limits(), "test", command, lambda _confinement: b"")
    return partial(Sandbox().start, order)
