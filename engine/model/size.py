"""Sizes as users write them: `512MiB`, `64MB`, or plain bytes.

`KiB` and its like are powers of 1024, `KB` and its like powers of 1000, in any case; a size is a
whole number of its unit.
Pure; may be called from any thread.
"""

from __future__ import annotations

import re

from engine.errors import InvalidParameter

__all__ = ["format_size", "parse_size"]

_BINARY = ("KiB", "MiB", "GiB", "TiB")
_UNIT_BYTES: dict[str, int] = {
    "": 1,
    "b": 1,
    **{unit.lower(): 1 << 10 * power for power, unit in enumerate(_BINARY, 1)},
    **{unit: 10 ** (3 * power) for power, unit in enumerate(("kb", "mb", "gb", "tb"), 1)},
}
_SIZE = re.compile(r"\s*([0-9]{1,19})\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `512MiB`.

    Raises:
        InvalidParameter: the text is no size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidParameter(f"size {text!r} is not a whole number with a unit, as 512MiB")
    unit_bytes = _UNIT_BYTES.get(found[2].lower())
    if unit_bytes is None:
        raise InvalidParameter(
            f"size {text!r} has an unknown unit; use KiB, MiB, GiB, TiB, KB, MB, GB, TB or B"
        )
    return int(found[1]) * unit_bytes


def format_size(size_bytes: int) -> str:
    """Write a size of at least 0 bytes in the largest binary unit of which it is a multiple."""
    count, unit = size_bytes, ""
    for larger in _BINARY:
        if not count or count % 1024:
            break
        count, unit = count // 1024, larger
    return f"{count}{unit}"
