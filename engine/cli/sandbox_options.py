"""Options of `serve` about what plugins may do, and the settings they come to."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli import checks

__all__ = [
    "AllowGrant",
    "BubblewrapPath",
    "DefaultGrant",
    "DefaultLimit",
    "MaxLimit",
    "Sandbox",
    "sandbox_settings",
]

Sandbox = Annotated[
    str,
    typer.Option(
        envvar="BULKHEAD_SANDBOX",
        metavar="MODE",
        callback=checks.sandbox,
        help="How plugins are confined: required, best-effort, or off.",
    ),
]
DefaultGrant = Annotated[
    list[str],
    typer.Option(
        envvar="BULKHEAD_DEFAULT_GRANT",
        metavar="GRANT",
        callback=checks.grants("--default-grant"),
        help="What every plugin may reach, as net=example.com:443; may be repeated.",
    ),
]
DefaultLimit = Annotated[
    list[str],
    typer.Option(
        envvar="BULKHEAD_DEFAULT_LIMIT",
        metavar="NAME=VALUE",
        callback=checks.limits("--default-limit"),
        help="What a trigger may use that does not say, as memory=1GiB; may be repeated.",
    ),
]
MaxLimit = Annotated[
    list[str],
    typer.Option(
        envvar="BULKHEAD_MAX_LIMIT",
        metavar="NAME=VALUE",
        callback=checks.limits("--max-limit"),
        help="The most that any trigger may use, as memory=2GiB; may be repeated.",
    ),
]
AllowGrant = Annotated[
    list[str],
    typer.Option(
        envvar="BULKHEAD_ALLOW_GRANT",
        metavar="KIND",
        callback=checks.grant_kinds,
        help="A kind of grants that triggers may have: net, net=self, read, write, env, "
        "subprocess, or none; may be repeated, all if absent.",
    ),
]
BubblewrapPath = Annotated[
    str,
    typer.Option(
        "--bwrap",
        envvar="BULKHEAD_BWRAP",
        metavar="PATH",
        help="The program bubblewrap; /usr/bin/bwrap if empty.",
    ),
]


def sandbox_settings(
    mode: str,
    *,
    bwrap: str,
    default_grants: list[str],
    default_limits: list[str],
    max_limits: list[str],
    allowed_grants: list[str],
) -> dict[str, object]:
    """Return the settings of the section `sandbox`, without lists that were not given."""
    allowed = None if not allowed_grants else [k for k in allowed_grants if k != "none"]
    given = {
        "default_grants": default_grants or None,
        "default_limits": default_limits or None,
        "max_limits": max_limits or None,
        "allowed_grants": allowed,
    }
    return {
        "mode": mode,
        "bwrap": bwrap,
        **{name: texts for name, texts in given.items() if texts is not None},
    }
