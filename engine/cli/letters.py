"""`dead-letters list`, `show`, `retry` and `drop`: events that triggers gave up."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from engine.cli.client import Client, ServerRefused
from engine.cli.failures import CommandFailed, WrongUsage
from engine.cli.options import (
    DEFAULT_HOST,
    Database,
    Host,
    OutputFormat,
    ShownFormat,
    TlsCa,
    TlsNoVerify,
    Token,
)
from engine.cli.output import deliver, refuse_binary_terminal
from engine.cli.query import ask

__all__ = ["app"]

app = typer.Typer(help="List, show, retry and drop events that triggers gave up.")

_PATH = "/api/v3/configure/dead_letters"
_EVERYWHERE = "_internal"
_LIST = """SELECT id, event_time, database, trigger_name, state, kind, rows, attempts, error_code
FROM system.processing_engine_dead_letters"""
_OPEN_ONLY = " WHERE state = 'open'"
_ORDER = " ORDER BY event_time, id"

_Letter = Annotated[str, typer.Argument(metavar="ID", help="Of the letter, as in the list.")]
_Chosen = Annotated[str | None, typer.Argument(metavar="ID", help="Of the letter, as in the list.")]
_OfTrigger = Annotated[
    str | None, typer.Option("--trigger", metavar="NAME", help="All open ones of a trigger.")
]
_All = Annotated[bool, typer.Option("--all", help="All open ones of the database.")]


@app.command("list")
def list_letters(
    *,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            "-d",
            envvar="INFLUXDB3_DATABASE_NAME",
            metavar="DATABASE_NAME",
            help="The database; all databases if absent.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that have been retried or dropped.")
    ] = False,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """List dead letters, oldest first."""
    refuse_binary_terminal(shape, None)
    client = Client(host, token, tls_ca, tls_no_verify)
    sql = _LIST + ("" if every else _OPEN_ONLY) + _ORDER
    with ask(client, database or _EVERYWHERE, sql, shape) as answer:
        deliver(answer, shape, None)


@app.command("show")
def show_letter(
    *,
    letter: _Letter,
    database: Database,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Show a dead letter with its event, as JSON."""
    client = Client(host, token, tls_ca, tls_no_verify)
    text = client.get_text(_path(letter), {"db": database})
    print(json.dumps(json.loads(text), indent=2, ensure_ascii=False))


@app.command("retry")
def retry_letters(
    *,
    letter: _Chosen = None,
    database: Database,
    trigger: _OfTrigger = None,
    every: _All = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Run the events of dead letters again.

    The events go to their triggers, which must be enabled; nobody waits for the runs.
    """
    client = Client(host, token, tls_ca, tls_no_verify)
    chosen = _choose(client, database, letter, trigger=trigger, every=every)

    def retry(id_: str) -> None:
        with client.send("POST", f"{_path(id_)}/retry", params={"db": database}) as answer:
            answer.read()
        print(f"Dead letter {id_} handed to its trigger")

    _each(chosen, retry)


@app.command("drop")
def drop_letters(
    *,
    letter: _Chosen = None,
    database: Database,
    trigger: _OfTrigger = None,
    every: _All = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Do not ask before letters are dropped that were not named."
        ),
    ] = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Close dead letters without running their events."""
    client = Client(host, token, tls_ca, tls_no_verify)
    chosen = _choose(client, database, letter, trigger=trigger, every=every)
    if letter is None and chosen and not yes:
        _ask(f"Drop {len(chosen)} of the dead letters of database {database}?")

    def drop(id_: str) -> None:
        with client.send("DELETE", _path(id_), params={"db": database}) as answer:
            answer.read()
        print(f"Dead letter {id_} dropped")

    _each(chosen, drop)


def _choose(
    client: Client, database: str, letter: str | None, *, trigger: str | None, every: bool
) -> list[str]:
    """Return the ids of what the command line names; exactly one way to name it is allowed."""
    if (letter is not None) + (trigger is not None) + every != 1:
        raise WrongUsage("exactly one of ID, '--trigger <NAME>' and '--all' must be given")
    if letter is not None:
        return [letter]
    found: list[dict[str, Any]] = json.loads(client.get_text(_PATH, {"db": database}))
    chosen = [one["id"] for one in found if trigger in {None, one["trigger_name"]}]
    if not chosen:
        print("No open dead letters")
    return chosen


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed("nobody can be asked here; -y drops them without a question")
    if not typer.confirm(question, err=True):
        raise CommandFailed("nothing was dropped")


def _each(letters: list[str], act: Callable[[str], None]) -> None:
    """Do it to all, also when one fails; then the command has failed."""
    failures: list[ServerRefused] = []
    for letter in letters:
        try:
            act(letter)
        except ServerRefused as error:
            if len(letters) == 1:
                raise
            typer.echo(f"{letter}: {error}", err=True)
            failures.append(error)
    if failures:
        raise CommandFailed(f"{len(failures)} of {len(letters)} dead letters were refused")


def _path(letter: str) -> str:
    from urllib.parse import quote

    return f"{_PATH}/{quote(letter, safe='')}"
