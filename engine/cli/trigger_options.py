"""Options about triggers that several commands share, and the checks of their values."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli import checks
from engine.cli.failures import BadValue
from engine.cli.pairs import key_values

__all__ = [
    "CatchUpBehavior",
    "Cors",
    "ErrorBehavior",
    "Grant",
    "LagBehavior",
    "Limit",
    "Requirements",
    "TriggerArguments",
    "TriggerSpec",
    "split_arguments",
]


def split_arguments(text: str) -> dict[str, str]:
    """Return what a plugin gets as `args`."""
    return key_values(text, "--trigger-arguments <TRIGGER_ARGUMENTS>")


def _spec(text: str) -> str:
    """Check a trigger specification and return its canonical form."""
    from engine.errors import InvalidTriggerSpec
    from engine.model.spec import parse_spec, spec_text

    try:
        return spec_text(parse_spec(text))
    except InvalidTriggerSpec as error:
        raise BadValue(text, "--trigger-spec <TRIGGER_SPECIFICATION>", str(error)) from error


def _error_behavior(text: str) -> str:
    known = ("log", "retry", "disable")
    if text.lower() not in known:
        option = "--error-behavior <ERROR_BEHAVIOR>"
        raise BadValue(text, option, f"possible values: {', '.join(known)}")
    return text.lower()


def _catch_up(text: str | None) -> str | None:
    from engine.errors import InvalidParameter
    from engine.model.catch_up import parse_catch_up

    try:
        return None if text is None else parse_catch_up(text).value
    except InvalidParameter as error:
        raise BadValue(str(text), "--catch-up <CATCH_UP>", str(error)) from error


def _on_lag(text: str | None) -> str | None:
    from engine.errors import InvalidParameter
    from engine.model.lag import parse_on_lag

    try:
        return None if text is None else parse_on_lag(text).value
    except InvalidParameter as error:
        raise BadValue(str(text), "--on-lag <ON_LAG>", str(error)) from error


def _origins(texts: list[str]) -> list[str]:
    from engine.errors import InvalidParameter
    from engine.model.trigger import parse_origins

    if texts == ["none"]:
        return texts
    try:
        return list(parse_origins(texts))
    except InvalidParameter as error:
        raise BadValue(" ".join(texts), "--cors <ORIGIN>", str(error)) from error


def _arguments(text: str | None) -> str | None:
    if text is not None:
        split_arguments(text)
    return text


TriggerSpec = Annotated[
    str,
    typer.Option(
        metavar="TRIGGER_SPECIFICATION",
        callback=_spec,
        help="What fires the plugin: table:<TABLE>, all_tables, cron:<EXPRESSION>, "
        "every:<DURATION> or request:<PATH>.",
    ),
]
TriggerArguments = Annotated[
    str | None,
    typer.Option(metavar="KEY=VALUE,..", callback=_arguments, help="What the plugin gets as args."),
]
ErrorBehavior = Annotated[
    str,
    typer.Option(
        metavar="ERROR_BEHAVIOR",
        callback=_error_behavior,
        help="After a failed run: log, retry or disable.",
    ),
]
CatchUpBehavior = Annotated[
    str | None,
    typer.Option(
        metavar="CATCH_UP",
        callback=_catch_up,
        help="Which missed ticks of a schedule are run: skip, one or all; one if absent.",
    ),
]
LagBehavior = Annotated[
    str | None,
    typer.Option(
        metavar="ON_LAG",
        callback=_on_lag,
        help="When rows come faster than the plugin takes them: keep, newest or merge; "
        "keep if absent.",
    ),
]
Cors = Annotated[
    list[str],
    typer.Option(
        metavar="ORIGIN",
        callback=_origins,
        help="Whose pages may read a request plugin's answers; may be repeated; "
        "'none' for none, any if absent.",
    ),
]
Grant = Annotated[
    list[str],
    typer.Option(
        metavar="GRANT",
        callback=checks.grants("--grant"),
        help="What the plugin may reach: net=HOST:PORT, net=self, read=PATH, write=PATH, "
        "env=NAME or subprocess; may be repeated.",
    ),
]
Limit = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=VALUE",
        callback=checks.limits("--limit"),
        help="What the plugin may use, as memory=1GiB or time=30s; may be repeated.",
    ),
]
Requirements = Annotated[
    list[str],
    typer.Option(
        metavar="FILE|SPEC",
        help="Packages that the plugin needs beside those it asks for itself: a file that "
        "lists them, or one as 'pandas>=2'; may be repeated.",
    ),
]
