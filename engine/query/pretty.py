"""Tables in ASCII, as arrow-rs prints them.

A cell may have several lines; wide characters count twice, combining ones not at all.

Pure; may be called from any thread.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["frame"]


def frame(names: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    """Draw a table without a newline at its end.

    Args:
        names: the heads.
        columns: one list of texts per name, all of one length.
    """
    widths = [
        max(_width(line) for text in (name, *texts) for line in text.split("\n"))
        for name, texts in zip(names, columns, strict=True)
    ]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [rule, *_row(names, widths), rule]
    for texts in zip(*columns, strict=True):
        lines += _row(texts, widths)
    return "\n".join([*lines, rule])


def _row(texts: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [text.split("\n") for text in texts]
    height = max(len(cell) for cell in cells)
    lines = []
    for level in range(height):
        parts = [cell[level] if level < len(cell) else "" for cell in cells]
        padded = [p + " " * (w - _width(p)) for p, w in zip(parts, widths, strict=True)]
        lines.append("| " + " | ".join(padded) + " |")
    return lines


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
