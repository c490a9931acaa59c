"""What `demo` does: plugins at work, and one of them crashing, on a server that is thrown away."""

from __future__ import annotations

from engine.demo import run

__all__ = ["run"]
