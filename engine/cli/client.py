"""HTTP to a server, with failures worded for the terminal.

One connection per request: commands make few. A client may be used by several threads.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from engine.cli.failures import BadValue, CommandFailed

__all__ = ["Client", "ServerRefused"]

_CONNECT_TIMEOUT_S = 10.0


class ServerRefused(CommandFailed):
    """The server answered with an error.

    Args:
        status: of the answer.
        reason: the words that go with it.
        body: what the server said, shortened to its message when it is JSON with one.
    """

    def __init__(self, status: int, reason: str, body: str) -> None:
        super().__init__(f"server responded with error [{status} {reason}]: {body}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """A server's address and how to be let in."""

    host: str
    token: str | None = None
    tls_ca: Path | None = None
    tls_no_verify: bool = False

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            BadValue: it is not a URL of HTTP.
        """
        try:
            parts = urlsplit(self.host)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError as error:
            raise BadValue(self.host, "--host <URL>", str(error)) from error
        if not usable:
            raise BadValue(self.host, "--host <URL>", "expected a URL as http://127.0.0.1:8181")

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Send a request and return its successful answer, to be read and closed by the caller.

        Raises:
            ServerRefused: the server answered with an error.
            CommandFailed: no answer came.
        """
        parts = urlsplit(self.host)
        target = parts.path.rstrip("/") + path + (f"?{urlencode(params)}" if params else "")
        connection = self._connection()
        connection.timeout = _CONNECT_TIMEOUT_S
        try:
            connection.connect()
            connection.sock.settimeout(None)  # a query takes what it takes
            connection.request(method, target, body, {**self._headers(), **(headers or {})})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            url = f"{parts.scheme}://{parts.netloc}{target}"
            raise CommandFailed(
                f"failed to send {method} {url} request: {_cause(error)}"
            ) from error
        if answer.status >= http.client.BAD_REQUEST:
            raise _refused(answer)
        return answer

    def send_json(self, method: str, path: str, value: object) -> str:
        """Send a JSON body and return the body of the answer, most often empty, as text."""
        headers = {"content-type": "application/json"}
        body = json.dumps(value).encode()
        with self.send(method, path, body=body, headers=headers) as answer:
            return answer.read().decode(errors="replace")

    def get_text(self, path: str, params: Mapping[str, str]) -> str:
        """Return the body of a GET as text."""
        with self.send("GET", path, params=params) as answer:
            return answer.read().decode(errors="replace")

    def _headers(self) -> dict[str, str]:
        # Closing tells the end of the connection to the answer, which outlives this object.
        headers = {"connection": "close"}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        return headers

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.host)
        name = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(name, parts.port)
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except OSError as error:
            raise CommandFailed(f"cannot read {self.tls_ca}: {_cause(error)}") from error
        if self.tls_no_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(name, parts.port, context=context)


def _refused(answer: http.client.HTTPResponse) -> ServerRefused:
    with answer:
        body = answer.read().decode(errors="replace")
    return ServerRefused(answer.status, answer.reason, _message(body))


def _message(body: str) -> str:
    try:
        value = json.loads(body)
    except ValueError:
        return body
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return str(value["message"])
    return body


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
