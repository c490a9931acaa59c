"""Where packages come from, as the operator named it: hosts to reach, and folders to read.

    UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL     in place of PyPI
    UV_INDEX, UV_EXTRA_INDEX_URL, PIP_EXTRA_INDEX_URL, UV_FIND_LINKS, PIP_FIND_LINKS     beside it

Since they come from the operator and not from a plugin, they are reached wherever their names
lead, private networks included.
Any thread may call.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import InvalidParameter
from engine.model.grants import HostGrant, parse_grants

__all__ = ["index_folders", "index_hosts"]

_INSTEAD = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_BESIDE = (
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "PIP_FIND_LINKS",
)
_ALL = (*_INSTEAD, *_BESIDE)
_PYPI = ("pypi.org:443", "files.pythonhosted.org:443")
_PORTS = {"http": 80, "https": 443}
_BETWEEN = re.compile(r"[\s,]+")


def index_hosts(variables: Mapping[str, str], more: Iterable[str] = ()) -> tuple[HostGrant, ...]:
    """Return the hosts of the index.

    Args:
        variables: of the server.
        more: `HOST` or `HOST:PORT`, as where an index keeps its files; the port of https without.

    Raises:
        InvalidParameter: one of `more` is no host.
    """
    named = set[HostGrant]()
    for text in (*_named(variables), *([] if _has_own(variables) else _PYPI)):
        with contextlib.suppress(InvalidParameter):  # the installer says what is wrong with it
            named.update(_granted(text))
    for text in more:
        named.update(_granted(text if _has_port(text) else f"{text}:443"))
    return tuple(sorted(named, key=lambda grant: (grant.host, grant.port or 0)))


def index_folders(variables: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders and files of this machine that are named in place of a host."""
    words = (word for name in _ALL for word in _BETWEEN.split(variables.get(name, "")))
    paths = (word.rpartition("=")[2].removeprefix("file://") for word in words)
    return tuple(Path(path) for path in paths if path.startswith("/") and Path(path).exists())


def _granted(text: str) -> Iterator[HostGrant]:
    for grant in parse_grants([f"net={text}"]).hosts:
        yield replace(grant, at_any_address=True)


def _has_port(text: str) -> bool:
    return re.search(r":(\d+|\*)$", text) is not None and (text.count(":") == 1 or "]" in text)


def _has_own(variables: Mapping[str, str]) -> bool:
    return any(variables.get(name) for name in _INSTEAD)


def _named(variables: Mapping[str, str]) -> Iterator[str]:
    for name in _ALL:
        for word in _BETWEEN.split(variables.get(name, "")):
            yield from _host_of(word)


def _host_of(word: str) -> Iterator[str]:
    """Yield the host of `URL` or `NAME=URL`, nothing for a folder or a URL that is none."""
    start = re.search(r"https?://", word, re.IGNORECASE)
    if start is None:
        return
    with contextlib.suppress(ValueError):
        parts = urlsplit(word[start.start() :])
        host = parts.hostname
        if host:
            shown = f"[{host}]" if ":" in host else host
            yield f"{shown}:{parts.port or _PORTS[parts.scheme.lower()]}"
