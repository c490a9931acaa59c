r"""The text of a lock: one spelling, whichever installer found the versions.

    iniconfig==2.3.1 \
        --hash=sha256:9121...
    six==1.17.0 \
        --hash=sha256:4721...

Sorted by name, names normalized, hashes sorted; no comment, no option, no address. A package from
an address or without a hash is no part of a lock. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from engine.environments.failures import InstallFailed

__all__ = ["canonical", "from_report"]

_CONTINUED = re.compile(r"\\\s*\n")
_COMMENT = re.compile(r"(^|\s)#.*")
_PACKAGE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*==\s*(?P<version>[^\s;=]+)"
    r"(?P<marker>\s*;.*?)?(?P<hashes>(?:\s+--hash[=\s][a-z0-9]+:[0-9a-f]+)*)\s*"
)
_HASH = re.compile(r"[a-z0-9]+:[0-9a-f]+")
_SEPARATORS = re.compile(r"[-_.]+")


def canonical(text: str) -> str:
    """Return the text of a lock in its one spelling.

    Args:
        text: a requirements file with hashes; options and comments are left out.

    Raises:
        InstallFailed: a package has no exact version, no hash, or an address of its own.
    """
    return "".join(sorted(_entry(line) for line in _lines(text)))


def _lines(text: str) -> Iterator[str]:
    for line in _CONTINUED.sub(" ", text).splitlines():
        wanted = _COMMENT.sub("", line).strip()
        if wanted and not wanted.startswith("-"):
            yield wanted


def _entry(line: str) -> str:
    found = _PACKAGE.fullmatch(line)
    if found is None:
        raise InstallFailed(f"not a package with an exact version and hashes: {line[:200]}")
    hashes = sorted(set(_HASH.findall(found["hashes"])))
    if not hashes:
        raise InstallFailed(
            f"the index has no hash for {found['name']} {found['version']}; "
            "use an index that has, or a folder of wheels: --wheel-dir"
        )
    name = _SEPARATORS.sub("-", found["name"]).lower()
    marker = f" ; {found['marker'].strip(' ;')}" if found["marker"] else ""
    listed = "".join(f" \\\n    --hash={one}" for one in hashes)
    return f"{name}=={found['version']}{marker}{listed}\n"


def from_report(text: str) -> str:
    """Return the lock that a report of pip comes to; see `pip install --report`.

    Raises:
        InstallFailed: it is no such report, or holds what is no part of a lock.
    """
    try:
        lines = [_reported(entry) for entry in json.loads(text)["install"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallFailed("pip did not report what it would install") from error
    return canonical("\n".join(lines))


def _reported(entry: dict[str, dict[str, object]]) -> str:
    name, version = entry["metadata"]["name"], entry["metadata"]["version"]
    if entry.get("is_direct"):
        raise InstallFailed(f"{name} comes from an address of its own, not from an index")
    found = entry["download_info"]["archive_info"]
    hashes = found["hashes"] if isinstance(found, dict) else {}
    return f"{name}=={version}" + "".join(f" --hash={kind}:{hex_}" for kind, hex_ in hashes.items())
