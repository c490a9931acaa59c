"""What an installer's failure means, in words for whoever asked.

Installers tell in their output what is wrong; their exit status hardly does. Three things are told
apart: the packages cannot be had (the caller's), the index cannot be reached and the cache does not
have them (ours), and all else (ours). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from engine.errors import EngineFault, UserError
from engine.model.lock import Asked

__all__ = [
    "InstallFailed",
    "PackagesUnavailable",
    "failure_in",
    "is_uncached",
    "is_unreachable",
    "unreachable",
]

_TAIL_CHARS = 4000
_MOST_PLACES = 5
_UNREACHABLE = re.compile(
    r"error sending request|client error \(Connect\)|dns error|tunnel error|timed out|timeout"
    r"|connection (refused|reset|aborted|closed)|ConnectionError|NewConnectionError"
    r"|HTTP status server error|Max retries exceeded|error decoding response body"
    r"|certificate verify failed|invalid peer certificate",
    re.IGNORECASE,
)
_UNCACHED = re.compile(r"(not found in|wasn't found in) the cache|network was disabled")
_MISSED = re.compile(
    r"Because (\S+) was not found in the cache|wasn't found in the cache: \S*/([^/\s]+)"
)
_UNPARSED = re.compile(r"(failed to|couldn't) parse", re.IGNORECASE)
_SYSTEM = re.compile(r"\[Errno -?\d+\] [^'\")]+")
_FOR_URL = re.compile(r" for url \(.*")
_ADDRESS = re.compile(r"https?://(?:[^/\s@]*@)?([^/\s`'\"(),]+)|host='([^']+)', port=(\d+)")
# People read sentences rather than a tree.
_LABEL = re.compile(r"^\s*(error|cause|caused by|ERROR|hint):?\s+|^\s+")
# A lock has those of all wheels of a version.
_HASHES = re.compile(r"(?:\s+sha256:[0-9a-f]{64}){2,}")
_NOISE = re.compile(
    r"No solution found when resolving dependencies.*|Using C?Python .*|Resolved (\d|in ).*"
    r"|warning: .*|Looking in .*|(Collecting|Processing|Obtaining|Requirement already) .*"
    r"|(Using cached|Downloading|Downloaded|Prepared) .*|ResolutionImpossible: .*|INFO: .*"
    r"|\[notice\].*|To fix this you could .*|\d+\. (loosen|remove) .*",
    re.IGNORECASE,
)
_ONLY_WHEELS = re.compile(r".*building from source is disabled.*|.*with `--no-build`.*")
_VERSIONS = re.compile(r" \(from versions: ([^)]*)\)")
_MOST_VERSIONS = 5
_SOURCE_HINT = (
    "Only wheels are installed; packages are built from source with: bulkhead serve "
    "--build-from-source."
)


class PackagesUnavailable(UserError):
    """There is no set of packages that fits what was asked for."""

    code = "packages_unavailable"
    http_status = 422


class InstallFailed(EngineFault):
    """The installer did not come to an answer: no index, no time, no room, no pip."""

    code = "install_failed"


def is_unreachable(output: str) -> bool:
    """Whether an installer has failed because the index does not answer."""
    return _UNREACHABLE.search(output) is not None


def is_uncached(output: str) -> bool:
    """Whether an installer without network has missed something in its cache."""
    return _UNCACHED.search(output) is not None


def failure_in(status: int, output: str, asked: Asked) -> UserError | EngineFault:
    """Return the error for an installer's exit status and what it said.

    Args:
        status: not zero.
        output: without passwords.
        asked: what was to be installed; its places are named where the failure is about them.
    """
    if is_unreachable(output):
        return unreachable(output)
    text = _sentences(output) or f"the installer ended with status {status}"
    # Both end with 1 when packages cannot be had; uv with 2, and a signal with more, on all else.
    is_wish = (status == 1 and "No module named pip" not in output) or _UNPARSED.search(output)
    return PackagesUnavailable(text + _places(output, asked)) if is_wish else InstallFailed(text)


def unreachable(output: str, missed: str = "") -> InstallFailed:
    """Return the error for an index that does not answer.

    Args:
        output: of the installer that tried.
        missed: of the one that looked into the cache alone, when that was tried.
    """
    hosts = ", ".join(sorted(set(_hosts(output)))) or "its address"
    text = f"the package index cannot be reached at {hosts}: {_reason(output)}."
    names = dict.fromkeys(found[1] or found[2] for found in _MISSED.finditer(missed))
    if names:
        text += f" Not in the package cache: {', '.join(names)}."
    return InstallFailed(
        f"{text} Check the network and the variables of the index (UV_DEFAULT_INDEX, "
        "SSL_CERT_FILE); name other hosts where it keeps files with --package-host; or give a "
        "folder of wheels with --wheel-dir."
    )


def _reason(output: str) -> str:
    """Return the line that says most: the last of uv, which are causes, else what matches."""
    lines = [line for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if _UNREACHABLE.search(line)]
    chosen = lines if lines and "cause:" in lines[-1] else telling or lines or ["no answer"]
    system = _SYSTEM.search(chosen[-1])
    text = system[0] if system else _FOR_URL.sub("", _LABEL.sub("", chosen[-1]))
    return text.rstrip(". ")[:300]


def _hosts(output: str) -> Iterator[str]:
    for found in _ADDRESS.finditer(output):
        yield found[1] or f"{found[2]}:{found[3]}"


def _sentences(output: str) -> str:
    short = _HASHES.sub(lambda found: f" one of {found[0].count(':')}", output)
    told = dict.fromkeys(_told(short.splitlines()))
    return " ".join(told).strip()[-_TAIL_CHARS:]


def _told(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        text = _LABEL.sub("", line).strip()
        if _ONLY_WHEELS.fullmatch(text):
            yield _SOURCE_HINT
        elif text and not _NOISE.fullmatch(text):
            yield _VERSIONS.sub(_few_versions, text)


def _few_versions(found: re.Match[str]) -> str:
    """Shorten what pip lists, which may be hundreds; the newest come last."""
    if found[1] == "none":
        return (
            ", of which there is nothing for this Python and machine; what has no wheel needs: "
            "bulkhead serve --build-from-source."
        )
    *older, _ = versions = found[1].split(", ")
    newest = ", ".join(versions[-_MOST_VERSIONS:])
    return f" (from versions: {'..., ' if len(older) >= _MOST_VERSIONS else ''}{newest})"


def _places(output: str, asked: Asked) -> str:
    """Say where the requirements stand that a failure is about."""
    named = [
        f"{requirement} stands in {place}"
        for requirement, place in zip(asked.requirements, asked.sources, strict=False)
        if place and re.search(rf"(?<![\w.-]){re.escape(_name(requirement))}(?![\w-])", output)
    ]
    return f" ({'; '.join(named[:_MOST_PLACES])})" if named else ""


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
