"""The demonstration: a private server, example plugins, load, a crash, and what it cost."""

from engine.demo.play import run

__all__ = ["run"]
