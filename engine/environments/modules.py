"""Which modules a distribution brings, from what its wheel says of itself.

RECORD lists every file, `path,hash,size`; the modules are what can be imported of them at the top:

    pkg/__init__.py            pkg
    mod.py, mod.abi3.so        mod
    ns/pkg/__init__.py         ns.pkg      where ns is a namespace that several fill

`top_level.txt`, which older wheels have, tells modules from what lies beside them by mistake. Pure.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator

__all__ = ["modules_of"]

_ENDINGS = re.compile(r"\.py$|(?:\.[A-Za-z0-9_-]+)?\.so$")
_INIT = "__init__"
# What wheels hold at the top without meaning it.
_ASIDE = frozenset(["test", "tests", "testing", "doc", "docs", "example", "examples", "setup"])
_MOST = 16


def modules_of(record: str, top_level: str = "") -> tuple[str, ...]:
    """Return the modules of a distribution, sorted; none for stubs, programs and data.

    Args:
        record: the text of RECORD.
        top_level: that of `top_level.txt`, empty without.
    """
    found = set(_outermost(_importable(record)))
    named = set(top_level.split())
    meant = {module for module in found if module.partition(".")[0] in named} or found
    kept = {module for module in meant if module.partition(".")[0] not in _ASIDE} or meant
    public = {module for module in kept if not module.rpartition(".")[2].startswith("_")} or kept
    return tuple(sorted(public))[:_MOST]


def _importable(record: str) -> Iterator[tuple[str, ...]]:
    """Yield the path of each module as names, that of a package ending with `__init__`."""
    for path in _listed(record):
        stem = _ENDINGS.sub("", path)
        names = tuple(stem.split("/"))
        if stem != path and all(name.isidentifier() for name in names):
            yield names


def _listed(record: str) -> Iterator[str]:
    with contextlib.suppress(csv.Error):  # what no RECORD holds, as a path without an end
        yield from (row[0] for row in csv.reader(record.splitlines()) if row)


def _outermost(paths: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield what is to be imported, leaving out what belongs to a package that is named already."""
    known = list(paths)
    packages = {names[:-1] for names in known if names[-1] == _INIT}
    for names in known:
        module = names[:-1] if names[-1] == _INIT else names
        above = (module[:length] for length in range(1, len(module)))
        if module and not any(package in packages for package in above):
            yield ".".join(module)
