"""Line protocol: text of clients and plugins to Arrow columns, and the quoting rules."""

from __future__ import annotations

from engine.lineprotocol.escape import (
    escape_field_key,
    escape_measurement,
    escape_string,
    escape_tag,
)
from engine.lineprotocol.parser import parse
from engine.lineprotocol.precision import Precision, parse_precision

__all__ = [
    "Precision",
    "escape_field_key",
    "escape_measurement",
    "escape_string",
    "escape_tag",
    "parse",
    "parse_precision",
]
