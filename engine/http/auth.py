"""Who may do what: the one place that every request passes before its route is looked up.

An `Authorizer` is asked once for each request, in the event loop's thread, so it must not block.
"""

from __future__ import annotations

from typing import Protocol

from starlette.requests import HTTPConnection

__all__ = ["Authorizer", "OpenAccess"]


class Authorizer(Protocol):
    """Decides on a request from its method, path, query and headers."""

    def check(self, request: HTTPConnection) -> None:
        """Return when the request may go on.

        Raises:
            UserError: it may not; the error is the answer.
        """
        ...


class OpenAccess:
    """Lets everything pass: the server has no tokens."""

    def check(self, request: HTTPConnection) -> None:
        """Let the request pass."""
