"""Bulkhead: a processing engine for time-series plugins that survives its plugins.

The names below load on first use, so that `import engine.errors` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.config import Config
    from engine.errors import EngineError

__all__ = ["Config", "Engine", "EngineError"]

_HOMES = {"Config": "engine.config", "Engine": "engine.app", "EngineError": "engine.errors"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
