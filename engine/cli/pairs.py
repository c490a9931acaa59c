"""Values of options that are lists of pairs. Pure functions."""

from __future__ import annotations

from engine.cli.failures import BadValue

__all__ = ["key_values"]


def key_values(text: str, option: str) -> dict[str, str]:
    """Split `key=value,key2=value2`; a value cannot hold a comma.

    Args:
        text: as the user gave it.
        option: with its placeholder, for the complaint.

    Raises:
        BadValue: a pair has no `=`.
    """
    pairs: dict[str, str] = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadValue(pair, option, 'must be formatted as "key=value"')
        pairs[key] = value
    return pairs
