"""Endpoints that tell whether the server is there and which it is."""

from __future__ import annotations

import secrets
import time
import uuid

from starlette.requests import Request
from starlette.responses import Response

from engine.http.errors import json_answer, text_answer
from engine.http.services import Identity

__all__ = ["StatusEndpoints"]

PRODUCT = "Bulkhead"


class StatusEndpoints:
    """`/health` and `/ping`."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def health(self, _request: Request) -> Response:
        """Say that the server serves."""
        return text_answer(200, "OK")

    async def ping(self, _request: Request) -> Response:
        """Say which server this is."""
        answer = json_answer(
            200,
            {
                "product_name": PRODUCT,
                "version": self._identity.version,
                "revision": self._identity.revision,
                "process_id": self._identity.process_id,
            },
        )
        request_id = _time_ordered_uuid()
        answer.headers["request-id"] = request_id
        answer.headers["x-request-id"] = request_id
        # Clients tell editions of InfluxDB 3 apart by it.
        answer.headers["x-influxdb-build"] = "Core"
        answer.headers["x-influxdb-version"] = self._identity.version
        return answer


def _time_ordered_uuid() -> str:
    """Return a UUID of version 7: milliseconds since the epoch, then chance.

    Source: RFC 9562 section 5.7.
    """
    bits = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 7 << 76
    bits = bits & ~(0b11 << 62) | 0b10 << 62
    return str(uuid.UUID(int=bits))
