"""`query`: SQL from the command line, a file or standard input."""

from __future__ import annotations

import json
import sys
from http.client import HTTPResponse
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import BadValue, CommandFailed
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

__all__ = ["ask", "query"]


def ask(
    client: Client, database: str, sql: str, shape: OutputFormat, language: str = "sql"
) -> HTTPResponse:
    """Send a query and return the answer, to be read and closed by the caller."""
    body = json.dumps({"db": database, "q": sql, "format": shape.value}).encode()
    headers = {"content-type": "application/json"}
    return client.send("POST", f"/api/v3/query_{language}", body=body, headers=headers)


def _language(text: str) -> str:
    if text != "sql":
        raise BadValue(text, "--language <LANGUAGE>", "possible values: sql")
    return text


def query(
    *,
    database: Database,
    sql: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY", help="The SQL statement.")
    ] = None,
    language: Annotated[
        str, typer.Option("--language", "-l", metavar="LANGUAGE", callback=_language, help="sql")
    ] = "sql",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read the SQL from a file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the result to a file."),
    ] = None,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    query_host: Annotated[
        str | None,
        typer.Option(
            envvar="INFLUXDB3_QUERY_HOST_URL", metavar="URL", help="Used instead of --host."
        ),
    ] = None,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Query a database.

    The SQL is given here, in a file, or on standard input.
    """
    client = Client(query_host or host, token, tls_ca, tls_no_verify)
    text = _text(sql, file)
    refuse_binary_terminal(shape, output)
    with ask(client, database, text, shape, language) as answer:
        deliver(answer, shape, output)


def _text(words: list[str] | None, file: Path | None) -> str:
    if words:
        return " ".join(words)
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"cannot read {file}: {error}") from error
    if sys.stdin is None or sys.stdin.isatty():
        raise CommandFailed(
            "No input from stdin detected, no string was passed in,  and no file path was given"
        )
    return sys.stdin.read()
