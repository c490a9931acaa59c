"""How a command ends that cannot do what it was asked: text and exit status."""

from __future__ import annotations

import typer

__all__ = ["BadValue", "CommandFailed", "MissingValue", "WrongUsage"]


class CommandFailed(Exception):
    """The command was understood and failed; exit status 1."""


class WrongUsage(typer.BadParameter):
    """The command line makes no sense; exit status 2, and the text is shown as it is."""

    def format_message(self) -> str:
        """Return the whole text, to which nothing is to be added."""
        return self.message


class BadValue(WrongUsage):
    """An option's value is wrong.

    Args:
        value: as the user gave it.
        option: with its placeholder, as `--precision <PRECISION>`.
        reason: what is wrong with the value.
    """

    def __init__(self, value: str, option: str, reason: str) -> None:
        super().__init__(f"invalid value '{value}' for '{option}': {reason}")


class MissingValue(WrongUsage):
    """A required option or argument is absent.

    Args:
        name: with its placeholder, as `--database <DATABASE_NAME>`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the following required arguments were not provided:\n  {name}")
