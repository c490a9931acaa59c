"""What confines plugins: the sandbox, the way out to granted hosts, and where workers live."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from engine.clock import Clock
from engine.config import Config
from engine.logs import LogRing
from engine.sandbox.egress import Egress
from engine.sandbox.report import Report
from engine.sandbox.sandbox import Sandbox
from engine.sandbox.upstream import upstream_of
from engine.service import CrashHandler
from engine.workers.quarters import Quarters

__all__ = ["Confinement"]


class Confinement:
    """The walls around the workers of one server.

    Args:
        config: of the server.
        clock: of the log.
        ring: where it is told what plugins were refused.
        on_crash: as for every service.
        own_address: where this server listens; called once it does.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        ring: LogRing,
        on_crash: CrashHandler,
        own_address: Callable[[], tuple[str, int]],
    ) -> None:
        self._egress = Egress(
            lambda trigger, text: ring.add(clock.now_ns(), trigger, "WARN", text),
            on_crash,
            upstream=upstream_of(os.environ),
        )
        data_dir = Path(config.data_dir).absolute() / config.node_id
        self._sandbox = Sandbox(
            config.sandbox.mode, str(data_dir), config.sandbox.bwrap, self._egress
        )
        self.mode = config.sandbox.mode
        self.quarters = Quarters(
            self._sandbox,
            config.sandbox,
            plugin_dir=Path(config.plugin_dir).absolute(),
            private_dir=data_dir / "private",
            own_address=own_address,
        )

    @property
    def report(self) -> Report:
        """What holds on this machine."""
        return self._sandbox.report

    def start(self, closing: ExitStack) -> None:
        """Find out what this machine enforces; before the first worker is started."""
        closing.callback(self._sandbox.close)
        self._sandbox.open()
        self._egress.start()
        closing.callback(self._egress.stop)
