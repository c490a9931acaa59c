"""A well-behaved plugin that keeps a secret; what attacks on other triggers are aimed at."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

STATE = "escape-secret: state of the victim"


def process_request(
    influxdb3_local: Any,  # noqa: ANN401  the plugin API
    query_parameters: dict[str, str],
    request_headers: dict[str, str],
    request_body: bytes,
    args: dict[str, str] | None = None,
) -> dict[str, object]:
    """Tell how it is: its state, and whether it has met foreign code."""
    file = Path(os.environ["PLUGIN_DIR"], "victim-state.txt")
    if not file.exists():
        file.write_text(STATE)
        influxdb3_local.cache.put("state", STATE)
    influxdb3_local.cache.get("shared", use_global=True)
    return {
        "state": file.read_text(),
        "cached": str(influxdb3_local.cache.get("state")),
        "planted": getattr(builtins, "escape_planted", None),
    }
