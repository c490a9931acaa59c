"""One kept-alive HTTP connection to the server, as a client of it would hold; one thread each."""

from __future__ import annotations

import http.client
import json
from typing import Any, Self
from urllib.parse import quote_plus, urlsplit

from engine.demo.scenario import DATABASE, Trigger

__all__ = ["Connection", "Refused"]

_TIMEOUT_S = 30.0
_JSON = {"Content-Type": "application/json"}


class Refused(Exception):
    """The server answered with an error."""


class Connection:
    """Requests to one server; raises Refused for an error's answer and OSError for none."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_S
        )

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._http.close()

    def write(self, lines: bytes) -> None:
        """Write lines and return when they are durable."""
        self._send("POST", f"/api/v3/write_lp?db={DATABASE}", lines)

    def ask(self, path: str) -> Any:  # noqa: ANN401  whatever the plugin answers
        """Call a request plugin and return its JSON."""
        return json.loads(self._send("GET", f"/api/v3/engine/{path}"))

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        target = f"/api/v3/query_sql?db={DATABASE}&format=json&q={quote_plus(query)}"
        rows: list[dict[str, Any]] = json.loads(self._send("GET", target))
        return rows

    def create_database(self) -> None:
        """Create the demonstration's database."""
        self._post("/api/v3/configure/database", {"db": DATABASE})

    def create_trigger(self, trigger: Trigger) -> None:
        """Create a trigger, enabled."""
        document = {
            "db": DATABASE,
            "trigger_name": trigger.name,
            "plugin_filename": trigger.plugin,
            "trigger_specification": trigger.spec,
            "trigger_arguments": dict(trigger.arguments) or None,
            "trigger_settings": {"run_async": False, "error_behavior": "log"},
            "disabled": False,
        }
        self._post("/api/v3/configure/processing_engine_trigger", document)

    def _post(self, path: str, document: object) -> None:
        self._send("POST", path, json.dumps(document).encode(), _JSON)

    def _send(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        try:
            self._http.request(method, target, body, headers or {})
            answer = self._http.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            self._http.close()
            raise ConnectionError(repr(error)) from error
        except OSError:
            self._http.close()  # the next request connects anew
            raise
        if answer.status >= http.client.BAD_REQUEST:
            raise Refused(f"{method} {target}: {answer.status} {content.decode(errors='replace')}")
        return content
