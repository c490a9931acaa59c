"""One HTTP GET with limits of size, time and redirects, which another thread can end.

Environment variables for proxies are not read, no credentials are sent, and certificates are
verified. Redirects are followed to http and https only, and never from https to http.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from engine.errors import PluginFileError

__all__ = ["Download", "DownloadLimits", "NotThere", "PluginFetchFailed"]

_DOING = "error fetching plugin from repository"
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# As object stores answer for what they do not have.
_NOT_THERE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_HEADERS = {"User-Agent": "bulkhead", "Accept": "*/*", "Connection": "close"}


class PluginFetchFailed(PluginFileError):
    """A plugin of the repository cannot be fetched."""

    code = "plugin_fetch_failed"


class NotThere(PluginFetchFailed):
    """The repository answered that it has no such file."""


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds of one download, redirects included.

    Args:
        max_bytes: of the content.
        time_s: of the whole; the look-up of a name may take what the system grants it.
    """

    max_bytes: int
    time_s: float


class Download:
    """One download; `run` belongs to one thread, `abort` to any.

    `_lock` guards the socket and the reason for which it was ended.
    """

    def __init__(self, url: str, limits: DownloadLimits) -> None:
        self._url = url
        self._limits = limits
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ended_because = ""

    def run(self) -> bytes:
        """Return the content.

        Raises:
            PluginFetchFailed: the text says why, and from where.
        """
        late = f"no answer within {self._limits.time_s:g} s"
        timer = threading.Timer(self._limits.time_s, self.abort, (late,))
        timer.start()
        try:
            return self._follow()
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = self._ended_because or str(error) or type(error).__name__
            raise self._failed(reason) from error
        finally:
            timer.cancel()
            timer.join()

    def abort(self, reason: str) -> None:
        """End the download as soon as it waits for the network."""
        with self._lock:
            self._ended_because = self._ended_because or reason
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # Not the method of TLS sockets, which is not for other threads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _follow(self) -> bytes:
        url = self._url
        for _ in range(_MAX_REDIRECTS + 1):
            with contextlib.closing(_connection(url, self._limits.time_s)) as connection:
                self._connect(connection)
                connection.request("GET", _target(url), headers=_HEADERS)
                with connection.getresponse() as answer:
                    if answer.status not in _REDIRECTS:
                        return self._content(answer)
                    url = self._next(url, answer.getheader("location", ""))
        raise self._failed(f"more than {_MAX_REDIRECTS} redirects")

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.connect()
        with self._lock:
            self._socket = connection.sock
        self._check_not_ended()

    def _content(self, answer: http.client.HTTPResponse) -> bytes:
        if answer.status // 100 != HTTPStatus.OK // 100:
            kind = NotThere if answer.status in _NOT_THERE else PluginFetchFailed
            raise kind(f"{_DOING}: {_status(answer)} {self._url}")
        content = answer.read(self._limits.max_bytes + 1)
        # An end that we or the peer made early reads like a complete answer.
        self._check_not_ended()
        if len(content) > self._limits.max_bytes:
            raise self._failed(f"larger than {self._limits.max_bytes} bytes")
        if answer.length:
            raise self._failed("the connection ended in the middle")
        return content

    def _next(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        allowed = {"https"} if urlsplit(url).scheme == "https" else {"http", "https"}
        if not location or urlsplit(target).scheme not in allowed:
            raise self._failed(f"redirected to '{location}', which is not followed")
        return target

    def _check_not_ended(self) -> None:
        with self._lock:
            if self._ended_because:
                raise self._failed(self._ended_because)

    def _failed(self, reason: str) -> PluginFetchFailed:
        return PluginFetchFailed(f"{_DOING}: {reason}: {self._url}")


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _status(answer: http.client.HTTPResponse) -> str:
    try:
        return f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return f"{answer.status} {answer.reason}"
