"""Checks of the values of `serve`'s options, made before anything is started. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.cli.address import parse_bind
from engine.cli.failures import BadValue

__all__ = [
    "bind",
    "byte_count",
    "duration",
    "duration_s",
    "grant_kinds",
    "grants",
    "kinds",
    "limits",
    "node_id",
    "object_store",
    "package_hosts",
    "package_manager",
    "sandbox",
    "size",
]

_KINDS = {"wal": "wal", "wal_flush": "wal", "schedule": "schedule", "request": "request"}
_SANDBOX_MODES = ("required", "best-effort", "off")
_PACKAGE_MANAGERS = ("discover", "uv", "pip", "disabled")
_NODE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def node_id(text: str | None) -> str | None:
    """Take a name that can name a folder."""
    if text is not None and not _NODE_ID.fullmatch(text):
        reason = "letters, digits, '_', '-' and '.' only: it names a folder"
        raise BadValue(text, "--node-id <NODE_ID>", reason)
    return text


def object_store(text: str) -> str:
    """Take the one store there is."""
    if text != "file":
        reason = "this version keeps its data in files; leave it out or use 'file'"
        raise BadValue(text, "--object-store <STORE>", reason)
    return text


def package_manager(text: str) -> str:
    """Take one of those that InfluxDB 3 knows."""
    if text not in _PACKAGE_MANAGERS:
        reason = f"possible values: {', '.join(_PACKAGE_MANAGERS)}"
        raise BadValue(text, "--package-manager <MANAGER>", reason)
    return text


def package_hosts(texts: list[str]) -> list[str]:
    """Take hosts with their ports, which are 443 unless they say."""
    return [_host_and_port(text) for text in texts]


def _host_and_port(text: str) -> str:
    from engine.config import check_host_and_port
    from engine.errors import InvalidConfig

    written = text if re.search(r":[0-9]+$", text) else f"{text}:443"
    try:
        check_host_and_port("--package-host", written)
    except InvalidConfig as error:
        reason = "expected a host as packages.example or [::1]:8080"
        raise BadValue(text, "--package-host <HOST[:PORT]>", reason) from error
    return written


def sandbox(text: str) -> str:
    """Take a mode of the sandbox."""
    if text not in _SANDBOX_MODES:
        reason = f"possible values: {', '.join(_SANDBOX_MODES)}"
        raise BadValue(text, "--sandbox <MODE>", reason)
    return text


def bind(text: str) -> str:
    """Take an address to listen on."""
    parse_bind(text)
    return text


def duration_s(text: str, option: str, *, may_be_0: bool = False) -> float:
    """Return the seconds of a duration as `10m`, longer than 0 unless it may be 0."""
    from engine.errors import InvalidParameter
    from engine.model.duration import parse_duration_ns

    shown = f"{option} <DURATION>"
    try:
        duration_ns = parse_duration_ns(text)
    except InvalidParameter as error:
        raise BadValue(text, shown, str(error)) from error
    if duration_ns <= 0 and not may_be_0:
        raise BadValue(text, shown, "must be longer than 0")
    return duration_ns / 1e9


def duration(option: str, *, may_be_0: bool = False) -> Callable[[str | None], str | None]:
    """Return the check of an option that takes a duration, or nothing."""

    def check(text: str | None) -> str | None:
        if text is not None:
            duration_s(text, option, may_be_0=may_be_0)
        return text

    return check


def byte_count(text: str, option: str) -> int:
    """Return the bytes of a size, which may have a unit."""
    from engine.errors import InvalidParameter
    from engine.model.size import parse_size

    shown = f"{option} <SIZE>"
    try:
        count = parse_size(text)
    except InvalidParameter as error:
        raise BadValue(text, shown, "expected a size as 2GiB or 500MB") from error
    if not count:
        raise BadValue(text, shown, "expected a size as 2GiB or 500MB")
    return count


def size(option: str) -> Callable[[str | None], str | None]:
    """Return the check of an option that takes a size, or nothing."""

    def check(text: str | None) -> str | None:
        if text is not None:
            byte_count(text, option)
        return text

    return check


def limits(option: str) -> Callable[[list[str]], list[str]]:
    """Return the check of an option that takes limits, as `time=30s`."""

    def check(texts: list[str]) -> list[str]:
        from engine.errors import InvalidParameter
        from engine.model.limits import parse_limits, split_limits

        try:
            parse_limits(split_limits(texts))
        except InvalidParameter as error:
            raise BadValue(" ".join(texts), f"{option} <NAME=VALUE>", str(error)) from error
        return texts

    return check


def grants(option: str) -> Callable[[list[str]], list[str]]:
    """Return the check of an option that takes grants, as `net=example.com:443`."""

    def check(texts: list[str]) -> list[str]:
        from engine.errors import InvalidParameter
        from engine.model.grants import grant_texts, parse_grants

        try:
            return grant_texts(parse_grants(texts))
        except InvalidParameter as error:
            raise BadValue(" ".join(texts), f"{option} <GRANT>", str(error)) from error

    return check


def grant_kinds(texts: list[str]) -> list[str]:
    """Take kinds of grants, or `none`."""
    from engine.model.grants import GRANT_KINDS

    known = (*GRANT_KINDS, "none")
    for text in texts:
        if text not in known:
            reason = f"possible values: {', '.join(known)}"
            raise BadValue(text, "--allow-grant <KIND>", reason)
    return texts


def kinds(text: str | None) -> str | None:
    """Take kinds of triggers, separated by commas, in their canonical names."""
    if text is None:
        return None
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in _KINDS:
            option = "--restrict-plugin-triggers-to <KINDS>"
            raise BadValue(name, option, f"possible values: {', '.join(_KINDS)}")
    return ",".join(dict.fromkeys(_KINDS[name] for name in names))
