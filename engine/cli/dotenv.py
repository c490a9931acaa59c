"""Settings from a `.env` file in the working directory, loaded before anything else.

A line is `NAME=value`, with `export` before it or not; a value may stand in single or double
quotes, otherwise it ends at ` #`. Variables that are set already keep their values.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path

__all__ = ["load_dotenv", "parse_dotenv"]

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>.*?))\s*(?:(?:^|(?<=\s))\#.*)?$""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def load_dotenv(folder: Path, environment: MutableMapping[str, str]) -> None:
    """Set the variables of `<folder>/.env` that are not set yet; no file is no error."""
    try:
        text = (folder / ".env").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for name, value in parse_dotenv(text).items():
        environment.setdefault(name, value)


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the variables that a text sets; lines that set none are skipped."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        single, double, bare = found["single"], found["double"], found["bare"]
        if double is not None:
            value = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), double)
        else:
            value = single if single is not None else bare
        if "\0" not in value:
            values[found["name"]] = value
    return values
