"""A scanner of SQL text: where strings, names, comments, placeholders and words begin and end.

It knows what is text and what is code, and no more: numbers and operators come one by one, and
nothing is checked. The pieces joined together are the text, byte for byte. What never ends, as an
open string, is one piece up to the end of the text.

Pure; may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["Kind", "Token", "scan"]


class Kind(Enum):
    """What a piece of SQL is."""

    SPACE = auto()  # blanks and comments
    STRING = auto()
    NAME = auto()  # quoted
    PLACEHOLDER = auto()
    WORD = auto()
    NUMBER = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL."""

    kind: Kind
    text: str

    @property
    def lowered(self) -> str:
        """The text in lower case when it is a word, otherwise nothing."""
        return self.text.lower() if self.kind is Kind.WORD else ""


# The order decides: comments before operators, prefixed strings before words.
_PATTERN = re.compile(
    r"""
      (?P<space> \s+ | --[^\n]* )
    | (?P<open> /\* )
    | (?P<dollar> \$ (?P<tag> \w* ) \$ .*? (?: \$ (?P=tag) \$ | \Z ) )
    | (?P<escaped> [eE] ' (?: [^'\\] | \\. | '' )* (?: ' | \Z ) )
    | (?P<string> ' (?: [^'] | '' )* (?: ' | \Z ) )
    | (?P<name> " (?: [^"] | "" )* (?: " | \Z ) | ` [^`]* (?: ` | \Z ) )
    | (?P<placeholder> \$ \w+ )
    | (?P<number> \d [\w.]* )
    | (?P<word> [^\W\d] [\w@$\#]* | [@\#] [\w@$\#]* )
    | (?P<symbol> ->>? | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {
    "space": Kind.SPACE,
    "dollar": Kind.STRING,
    "escaped": Kind.STRING,
    "string": Kind.STRING,
    "name": Kind.NAME,
    "placeholder": Kind.PLACEHOLDER,
    "number": Kind.NUMBER,
    "word": Kind.WORD,
    "symbol": Kind.SYMBOL,
}
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def scan(sql: str) -> Iterator[Token]:
    """Cut SQL into pieces."""
    position = 0
    while match := _PATTERN.match(sql, position):
        group = str(match.lastgroup)
        end = _comment_end(sql, match.end()) if group == "open" else match.end()
        yield Token(_KINDS.get(group, Kind.SPACE), sql[position:end])
        position = end


def _comment_end(sql: str, position: int) -> int:
    """Find the end of a block comment, in which others may be nested."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
