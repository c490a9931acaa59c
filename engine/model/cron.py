"""The grammar of cron expressions, as the Rust crate `cron` has it, turned into sets of numbers.

    second minute hour day-of-month month day-of-week [year]

Weekdays count from 1 = Sunday to 7 = Saturday; names of weekdays and months may be used in any
case. A field is a list of items: `*`, `a`, `a-b`, each with an optional step `/n` (`a/n` runs from
a to the maximum), and `?` for day-of-month and day-of-week. Day-of-month *and* day-of-week must
match. `@yearly @monthly @weekly @daily @hourly` stand for a whole expression.

What differs from the crate: a range may wrap around (`fri-mon`, `22-2`; not for years), and a lone
`0` is Sunday. A `0` beside other weekdays (`0-6`, `0,6`) is refused: whoever writes it counts from
0 = Sunday and would silently get other days than meant.
The extensions of other crons (`L`, `W`, `#`, `H`, `R`) are refused.
Pure; may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Cron", "CronSyntaxError", "parse_cron", "with_seconds"]

_SHORTHANDS = {
    "@yearly": "0 0 0 1 1 * *",
    "@monthly": "0 0 0 1 * * *",
    "@weekly": "0 0 0 * * 1 *",
    "@daily": "0 0 0 * * * *",
    "@hourly": "0 0 * * * * *",
}
_MONTHS = (
    ("january", "jan"),
    ("february", "feb"),
    ("march", "mar"),
    ("april", "apr"),
    ("may",),
    ("june", "jun"),
    ("july", "jul"),
    ("august", "aug"),
    ("september", "sep", "sept"),
    ("october", "oct"),
    ("november", "nov"),
    ("december", "dec"),
)
_WEEKDAYS = (
    ("sunday", "sun"),
    ("monday", "mon"),
    ("tuesday", "tues", "tue"),
    ("wednesday", "wed"),
    ("thursday", "thurs", "thu"),
    ("friday", "fri"),
    ("saturday", "sat"),
)
_SUNDAY = 1

_UNIX_FIELDS = 5
_ITEM = re.compile(
    r"(?P<any>[*?])(?:/(?P<any_step>\d+))?"
    r"|(?P<first>\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?",
    re.ASCII,
)
_ZERO = re.compile(r"(?<![\d/])0+(?!\d)")
_EXTENSION = re.compile(r"[#()]|^\d*[lw]\d*$|^lw$|^[hr](/\d+)?$", re.IGNORECASE)


class CronSyntaxError(ValueError):
    """An expression does not keep the grammar; the message says which field and why."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The times of a cron expression: each field the sorted numbers that match.

    Weekdays are 1 = Sunday to 7 = Saturday.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    years: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    spellings: tuple[tuple[str, ...], ...] = ()
    may_be_open: bool = False
    wraps: bool = True

    def named(self, text: str) -> int | None:
        """Return the number of a name; names count from 1."""
        numbered = enumerate(self.spellings, start=1)
        return next((number for number, names in numbered if text.lower() in names), None)


_SECOND, _MINUTE, _HOUR = _Field("second", 0, 59), _Field("minute", 0, 59), _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31, may_be_open=True)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 1, 7, _WEEKDAYS, may_be_open=True)
_YEAR = _Field("year", 1970, 2099, wraps=False)
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY, _YEAR)


def with_seconds(expression: str) -> str:
    """Return an expression with single spaces; five fields get a leading second of 0."""
    fields = expression.split()
    return " ".join(["0", *fields] if len(fields) == _UNIX_FIELDS else fields)


@lru_cache(maxsize=1024)
def parse_cron(expression: str) -> Cron:
    """Return the times of an expression of 6 or 7 fields, or of a shorthand.

    Raises:
        CronSyntaxError: the expression does not keep the grammar.
    """
    texts = _expanded(expression).split()
    if len(texts) == len(_FIELDS) - 1:
        texts.append("*")
    if len(texts) != len(_FIELDS):
        raise CronSyntaxError(
            f"{len(texts)} fields found, but 6 or 7 needed: "
            "second minute hour day-of-month month day-of-week [year]"
        )
    return Cron(*(_numbers(f, text) for f, text in zip(_FIELDS, texts, strict=True)))


def _expanded(expression: str) -> str:
    text = expression.strip()
    if not text.startswith("@"):
        return text
    if text.lower() not in _SHORTHANDS:
        raise CronSyntaxError(f"unknown shorthand {text}; known are {', '.join(_SHORTHANDS)}")
    return _SHORTHANDS[text.lower()]


def _numbers(cron_field: _Field, text: str) -> tuple[int, ...]:
    if cron_field is _WEEKDAY and not text.isdigit() and _ZERO.search(text):
        raise CronSyntaxError(
            f"{text!r} as day of week counts from 0, "
            "but weekdays count from 1 = Sunday to 7 = Saturday; use names, as in sun-sat"
        )
    return tuple(sorted({n for item in text.split(",") for n in _item(cron_field, item)}))


def _item(cron_field: _Field, text: str) -> Iterator[int]:
    match = _ITEM.fullmatch(text)
    if match is None:
        raise _complaint(cron_field, text)
    if match["any"]:
        return iter(_open(cron_field, text, match["any"], match["any_step"]))
    first = _point(cron_field, text, match["first"])
    if match["last"]:
        last = _point(cron_field, text, match["last"])
    else:
        last = cron_field.high if match["step"] else first
    return iter(_span(cron_field, text, first, last)[:: _step(cron_field, match["step"])])


def _open(cron_field: _Field, text: str, mark: str, step: str | None) -> range:
    if mark == "?" and (step or not cron_field.may_be_open):
        raise _complaint(cron_field, text)
    return range(cron_field.low, cron_field.high + 1, _step(cron_field, step))


def _point(cron_field: _Field, item: str, text: str) -> int:
    named = cron_field.named(text)
    if named is not None:
        return named
    if not text.isdigit():
        raise _complaint(cron_field, item)
    number = int(text[:10])
    if cron_field is _WEEKDAY and number == 0:
        return _SUNDAY
    if not cron_field.low <= number <= cron_field.high:
        raise CronSyntaxError(
            f"{text} is no {cron_field.name}; the range is {cron_field.low} to {cron_field.high}"
        )
    return number


def _span(cron_field: _Field, text: str, first: int, last: int) -> list[int]:
    if first <= last:
        return list(range(first, last + 1))
    if not cron_field.wraps:
        raise CronSyntaxError(f"range {text} of {cron_field.name} runs backwards")
    return [*range(first, cron_field.high + 1), *range(cron_field.low, last + 1)]


def _step(cron_field: _Field, text: str | None) -> int:
    if text is None:
        return 1
    if int(text[:10]) == 0:
        raise CronSyntaxError(f"a step of 0 in {cron_field.name} would never end")
    return int(text[:10])


def _complaint(cron_field: _Field, text: str) -> CronSyntaxError:
    if _EXTENSION.search(text):
        return CronSyntaxError(
            f"{text!r} as {cron_field.name}: the extensions H, R, L, W and # are not supported"
        )
    if text == "?" or text.startswith("?/"):
        return CronSyntaxError(
            f"{text!r} as {cron_field.name}: ? stands alone, "
            "and only as day of month or day of week"
        )
    return CronSyntaxError(f"cannot read {text!r} as {cron_field.name}")
