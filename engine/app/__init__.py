"""Composition: the only package that knows all services."""

from engine.app.engine import Engine

__all__ = ["Engine"]
