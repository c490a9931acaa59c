"""Load from clients, each a thread with a connection of its own, and what they measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.demo.client import Connection, Refused
from engine.demo.scenario import Scenario, climate_lines
from engine.service import Service

__all__ = ["Measured", "Wait", "caller", "percentile", "writer"]


@dataclass(frozen=True, slots=True)
class Wait:
    """When a request was answered (UTC nanoseconds), and how long it took."""

    answered_ns: int
    took_s: float


@dataclass(slots=True)
class Measured:
    """What one client has seen; written by its thread, read when that has ended.

    Args:
        waits: of answered requests, in order.
        rows: acknowledged by the server.
        failures: texts of requests that failed.
    """

    waits: list[Wait] = field(default_factory=list)
    rows: int = 0
    failures: list[str] = field(default_factory=list)


class Client(Service):
    """Repeats one request at a bounded rate."""

    def __init__(
        self, name: str, url: str, send: Callable[[Connection, Measured], None], pause_s: float
    ) -> None:
        super().__init__(name, on_crash=self._note_crash)
        self.measured = Measured()
        self._url = url
        self._send = send
        self._pause_s = pause_s

    def run(self) -> None:
        """Send, note how long it took, pause."""
        with Connection(self._url) as connection:
            while not self.is_stopping:
                self._send_once(connection)
                self._stop_requested.wait(self._pause_s)

    def wake(self) -> None:
        """Do nothing: the pause ends by itself when a stop is requested."""

    def _send_once(self, connection: Connection) -> None:
        begun_s = time.monotonic()
        try:
            self._send(connection, self.measured)
        except (OSError, Refused, ValueError) as error:
            self.measured.failures.append(str(error))
            return
        self.measured.waits.append(Wait(time.time_ns(), time.monotonic() - begun_s))

    def _note_crash(self, name: str, error: BaseException) -> None:
        self.measured.failures.append(f"{name} ended: {error!r}")


def writer(number: int, url: str, scenario: Scenario) -> Client:
    """Return a client that writes what its sensors measure."""
    begun_s = time.monotonic()
    newest_ns = 0

    def send(connection: Connection, measured: Measured) -> None:
        nonlocal newest_ns
        count = scenario.lines_per_write
        # Later than any line before, even if the clock is set back: no point replaces another.
        first_ns = max(time.time_ns(), newest_ns + 1)
        newest_ns = first_ns + count
        elapsed_s = time.monotonic() - begun_s
        connection.write(climate_lines(number, measured.rows, count, elapsed_s, first_ns))
        measured.rows += count

    return Client(f"writer-{number}", url, send, scenario.write_pause_s)


def caller(url: str, scenario: Scenario) -> Client:
    """Return a client that asks the summary plugin again and again."""

    def send(connection: Connection, measured: Measured) -> None:
        answer = connection.ask("summary?last_s=2")
        measured.rows += len(answer["groups"])

    return Client("caller", url, send, scenario.request_pause_s)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies; 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
