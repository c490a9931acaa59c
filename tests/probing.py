"""A plugin that runs whatever code a test sends it, for what plugins may do and what they get."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.requesting import ENGINE
from tests.serving import Server

_CODE = """
def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    names = {"influxdb3_local": influxdb3_local}
    try:
        exec(request_body.decode(), names)
    except BaseException as error:
        return {"raised": [type(error).__name__, str(error)]}
    return {"result": names.get("result")}
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """The plugin at a path of its own; each call is one run of it."""

    server: Server
    name: str

    @classmethod
    def add(
        cls, server: Server, database: str = "db", name: str = "probe", grants: Sequence[str] = ()
    ) -> Probe:
        server.plugin("probe.py", _CODE)
        answer = server.trigger(database, name, f"request:{name}", "probe.py", grants=grants)
        assert answer.status == 200, answer.text
        return cls(server, name)

    def run(self, code: str) -> Any:  # noqa: ANN401  whatever the code left in `result`
        """Run code that ends well; return its `result`, as JSON gives it back."""
        answer = self._ask(code)
        assert "raised" not in answer, answer
        return answer["result"]

    def value(self, expression: str) -> Any:  # noqa: ANN401  as above
        """Return what an expression is worth."""
        return self.run(f"result = {expression}")

    def raised(self, code: str) -> tuple[str, str]:
        """Run code that raises; return the name and the text of the exception."""
        answer = self._ask(code)
        assert "raised" in answer, answer
        name, text = answer["raised"]
        return name, text

    def _ask(self, code: str) -> dict[str, Any]:
        answer = self.server.request("POST", ENGINE + self.name, textwrap.dedent(code))
        assert answer.status == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document
