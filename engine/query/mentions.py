"""Which tables a query may read, found without parsing it.

The answer may name a table too many, never one too few: a table that is read stands in the SQL
under its name, in any case of letters when it is not quoted, with its quotes doubled when it is.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Mentions"]

# Statements and schemas that show which tables there are.
_CATALOG_WORDS = ("information_schema", "show")
_QUOTES = ('"', "'", "`")


class Mentions:
    """The names that stand in one statement; immutable."""

    def __init__(self, sql: str) -> None:
        # Only ASCII letters: the way in which SQL lowers names, and text outside keeps its form.
        self._sql = _lowered(sql)
        self._doubled = tuple(quote for quote in _QUOTES if quote + quote in sql)
        self.lists_catalog = any(word in self._sql for word in _CATALOG_WORDS)

    def of(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that the statement may read."""
        sql, doubled = self._sql, self._doubled
        return [
            name
            for name in names
            if (lowered := name.lower() if name.isascii() else _lowered(name)) in sql
            or (doubled and _stands_doubled(lowered, sql, doubled))
        ]


def _stands_doubled(name: str, sql: str, quotes: Iterable[str]) -> bool:
    return any(quote in name and name.replace(quote, quote + quote) in sql for quote in quotes)


def _lowered(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
