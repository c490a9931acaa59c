"""One worker process: start it, read what it prints, say how it ended, end its whole group.

The thread that starts a worker must outlive it: the parent-death signal follows the thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable

from engine.errors import PluginError, ProtocolFault
from engine.sandbox.enclose import Enclosed
from engine.sandbox.groups import Group
from engine.sandbox.overruns import group_overrun
from engine.workers.torrent import Torrent

__all__ = ["SpawnFailed", "WorkerProcess"]

log = logging.getLogger(__name__)
_TAIL_LINES = 40
_MAX_LINE_BYTES = 4096
_READ_BYTES = 65536
_LAST_READS = 32
_REAP_TIMEOUT_S = 5.0
_SIGNALLED = 128  # plus its number, as bubblewrap and shells tell a signal


class SpawnFailed(PluginError):
    """The operating system did not start the worker."""

    code = "spawn_failed"


class WorkerProcess:
    """A running worker; made by the thread that drives its first lane, used by all its lanes."""

    def __init__(self, enclose: Callable[[int], Enclosed], label: str) -> None:
        """Start the process.

        Args:
            enclose: starts it, given the descriptor for what it prints.
            label: of its trigger.

        Raises:
            SpawnFailed: it could not be started.
            SandboxUnavailable: it could not be confined.
        """
        self._label = label
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._partial = b""
        self._torrent = Torrent()
        self._reading = threading.Lock()  # of several lanes, any may take what was printed
        self._over_limit: str | None = None
        self.output, printing_end = os.pipe2(os.O_CLOEXEC)
        try:
            self._enclosed = enclose(printing_end)
        except (OSError, ProtocolFault) as error:
            os.close(self.output)
            raise SpawnFailed(f"cannot start a worker: {error}") from error
        except BaseException:
            os.close(self.output)
            raise
        finally:
            os.close(printing_end)
        self._child = self._enclosed.popen
        self.group: Group | None = self._enclosed.group
        os.set_blocking(self.output, False)
        self.pid = self._child.pid
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            self.end()
            os.close(self.output)
            raise SpawnFailed(f"cannot watch a worker: {error}") from error

    def __repr__(self) -> str:
        """Describe the process in a sentence."""
        return f"<WorkerProcess {self.pid} of {self._label}: {self.ending() or 'running'}>"

    def read_output(self) -> bool:
        """Take what the process has printed; return whether more can come."""
        with self._reading:
            return self._read_output()

    def _read_output(self) -> bool:
        try:
            chunk = os.read(self.output, _READ_BYTES)
        except BlockingIOError:
            return True
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._note(line)
        if len(self._partial) > _MAX_LINE_BYTES or (not chunk and self._partial):
            self._note(self._partial)
            self._partial = b""
        return bool(chunk)

    def ending(self) -> str | None:
        """Return how the process ended, in words, or None while it runs."""
        status = self._child.poll()
        if status is None:
            return None
        if status < 0:
            return f"killed by {_signal_name(-status)}"
        if status > _SIGNALLED and self._enclosed.has_namespaces:
            return f"exited with status {status}, probably {_signal_name(status - _SIGNALLED)}"
        return f"exited with status {status}"

    def has_ended(self, within_s: float) -> bool:
        """Wait for the end of the process."""
        return _is_readable(self.pidfd, within_s)

    def note_over_limit(self, text: str) -> None:
        """Have the end of the process told as what it is: a kill over a limit; any thread."""
        self._over_limit = text

    def over_limit(self) -> str | None:
        """Return the limit over which the process was killed, in words, or None."""
        group = self.group  # another lane may be ending the process
        if self._over_limit is None and group is not None:
            self._over_limit = group_overrun(group)
        return self._over_limit

    def last_words(self) -> str:
        """Return the last lines that the process printed."""
        return "\n".join(self._tail)

    def end(self) -> None:
        """Kill the process and all that it started in its group, and reap it."""
        # The leader is reaped only after this, so the group id cannot belong to anybody else.
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        try:
            self._child.wait(_REAP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.exception("a killed worker does not end", extra={"pid": self.pid})
        self.over_limit()  # what its control group has counted goes with the group
        self.group = None
        self._enclosed.release()

    def close(self) -> None:
        """Release the descriptors."""
        # Bounded: a process that left the group may hold the pipe and print for ever.
        for _ in range(_LAST_READS):
            if not _is_readable(self.output, 0) or not self.read_output():
                break
        os.close(self.pidfd)
        os.close(self.output)

    def _note(self, line: bytes) -> None:
        text = line[:_MAX_LINE_BYTES].decode(errors="replace")
        self._tail.append(text)
        if not self._torrent.admit(len(text)):
            return
        if dropped := self._torrent.take_dropped():
            log.warning("plugin output: %s", dropped, extra={"trigger": self._label})
        log.info("plugin output: %s", text, extra={"trigger": self._label})


def _is_readable(descriptor: int, within_s: float) -> bool:
    # Not `select`, which refuses descriptors from 1024 on.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
