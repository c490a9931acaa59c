"""SQL as users of InfluxDB write it, turned into SQL that DataFusion takes.

* A placeholder in the place of a table, as in `FROM $table`, becomes the quoted name that its
  string parameter holds.
* `now() - 'interval 5m'` becomes `now() - interval '5m'`.
* `to_timestamp(<integer>)` counts nanoseconds, which DataFusion calls `to_timestamp_nanos`.

Everything else passes through byte for byte: strings, quoted names and comments are never touched.

Pure; may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from engine.errors import QueryRejected
from engine.query.scan import Kind, Token, scan

__all__ = ["Params", "lists_tables", "missing_value", "quoted_name", "rewrite"]

Params = Mapping[str, bool | int | float | str | None]

_INTERVAL = re.compile(r"'\s*interval\s+(.*)'", re.IGNORECASE | re.DOTALL)
_LISTING = {"describe", "desc"}
_ENDS_FROM = frozenset(
    {
        *("where", "group", "having", "order", "limit", "offset", "fetch"),
        *("union", "except", "intersect", "window", "qualify", "select"),
    }
)
_DISTINCT_FROM = (["is", "distinct"], ["not", "distinct"])


def rewrite(sql: str, params: Params) -> tuple[str, Params]:
    """Turn accepted spellings into DataFusion's.

    Args:
        sql: one statement, not checked.
        params: values of its placeholders by name.

    Returns:
        The SQL, and the parameters that are to be bound to it.

    Raises:
        QueryRejected: a placeholder names a table and its parameter is missing or no string.
    """
    if not _may_need_rewriting(sql):
        return sql, params
    tokens = list(scan(sql))
    code = [i for i, token in enumerate(tokens) if token.kind is not Kind.SPACE]
    texts = [token.text for token in tokens]
    significant = [tokens[i] for i in code]
    for place in _table_places(significant):
        texts[code[place]] = _table_name(significant[place].text[1:], params)
    for place, token in enumerate(significant):
        before = significant[place - 1].text if place else ""
        if token.kind is Kind.STRING and before in {"+", "-"}:
            texts[code[place]] = _INTERVAL.sub(r"interval '\1'", token.text)
        elif token.lowered == "to_timestamp" and _is_integer(significant[place + 1 :], params):
            texts[code[place]] = "to_timestamp_nanos"
    return "".join(texts), params


def quoted_name(name: str) -> str:
    """Write a name so that SQL takes it as it is."""
    return '"' + name.replace('"', '""') + '"'


def missing_value(placeholder: str) -> str:
    """Return the message for a placeholder, as `$host`, that has no parameter."""
    return f"Error during planning: No value found for placeholder with name {placeholder}"


def lists_tables(sql: str) -> bool:
    """Tell whether a statement is SHOW TABLES."""
    words = (token.lowered for token in scan(sql) if token.kind is not Kind.SPACE)
    return list(islice(words, 2)) == ["show", "tables"]


def _may_need_rewriting(sql: str) -> bool:
    lowered = sql.lower()
    return "$" in sql or "interval" in lowered or "to_timestamp" in lowered


def _table_name(name: str, params: Params) -> str:
    if name not in params:
        raise QueryRejected(missing_value(f"${name}"))
    value = params[name]
    if not isinstance(value, str):
        raise QueryRejected(f"parameter ${name} stands for a table, so it must be a string")
    return quoted_name(value)


@dataclass(slots=True)
class _Level:
    """What is known inside one pair of parentheses, or outside of all."""

    is_query: bool  # FROM begins a list of tables; otherwise it belongs to a function or operator
    is_in_from: bool = False


def _table_places(tokens: Sequence[Token]) -> list[int]:
    """Find the placeholders that stand where a table is named."""
    places = []
    levels = [_Level(is_query=True)]
    expects_table = False
    for place, token in enumerate(tokens):
        if expects_table and token.kind is Kind.PLACEHOLDER:
            places.append(place)
        expects_table = _step(levels, tokens[:place][-3:], token)
    return places


def _step(levels: list[_Level], before: Sequence[Token], token: Token) -> bool:
    """Take in one token; tell whether a table may follow it."""
    level = levels[-1]
    if token.text == "(":
        levels.append(_Level(is_query=False))
    elif token.text == ")" and len(levels) > 1:
        levels.pop()
    elif token.text == "," and level.is_in_from:
        return True
    return bool(token.lowered) and _step_word(level, before, token.lowered)


def _step_word(level: _Level, before: Sequence[Token], word: str) -> bool:
    previous = [token.lowered for token in before]
    if word == "from" and level.is_query and previous[-2:] not in _DISTINCT_FROM:
        level.is_in_from = True
        return True
    if word in _ENDS_FROM:
        level.is_in_from = False
        level.is_query = level.is_query or word == "select"
    return word == "join" or (word in _LISTING and not previous)


def _is_integer(following: Sequence[Token], params: Params) -> bool:
    """Tell whether tokens are `(<integer>)`, or a placeholder for one."""
    texts = [token.text for token in following[:4]]
    if len(texts) > 1 and texts[1] in {"-", "+"}:
        del texts[1]
    if len(texts) < 3 or texts[0] != "(" or texts[2] != ")":  # noqa: PLR2004 ( `(`, value, `)` )
        return False
    value = params.get(texts[1][1:]) if texts[1].startswith("$") else None
    return texts[1].isdecimal() or (isinstance(value, int) and not isinstance(value, bool))
