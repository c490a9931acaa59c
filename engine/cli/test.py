"""`test wal_plugin`, `test schedule_plugin` and `test request_plugin`: dry runs.

What a plugin does wrong stands in the printed answer; the exit status is 0 all the same, as that
of InfluxDB 3 Core.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import BadValue, CommandFailed, WrongUsage
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token
from engine.cli.pairs import key_values

__all__ = ["app"]

app = typer.Typer(help="Run a plugin on the server without storing anything.")

_PATH = "/api/v3/plugin_test"

_Filename = Annotated[
    str, typer.Argument(metavar="FILENAME", help="The plugin, relative to the plugin folder.")
]
_Arguments = Annotated[
    str | None,
    typer.Option("--input-arguments", metavar="KEY=VALUE,..", help="What the plugin gets as args."),
]
_CacheName = Annotated[
    str | None,
    typer.Option("--cache-name", metavar="NAME", help="Whose cached values it finds and leaves."),
]


@app.command("wal_plugin")
def wal_plugin(
    *,
    filename: _Filename,
    database: Database,
    lp: Annotated[
        str | None, typer.Option("--lp", metavar="LINES", help="Line protocol to run it on.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Read the lines from a file.")
    ] = None,
    input_arguments: _Arguments = None,
    cache_name: _CacheName = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Run a plugin on written rows."""
    body = _body(filename, database, input_arguments, cache_name)
    body["input_lp"] = _lines(lp, file)
    _send(Client(host, token, tls_ca, tls_no_verify), "wal", body)


@app.command("schedule_plugin")
def schedule_plugin(
    *,
    filename: _Filename,
    database: Database,
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule", metavar="CRON", help="Run it for the next time of this; every second."
        ),
    ] = None,
    input_arguments: _Arguments = None,
    cache_name: _CacheName = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Run a plugin as if a scheduled time had come."""
    body = _body(filename, database, input_arguments, cache_name)
    body["schedule"] = schedule
    _send(Client(host, token, tls_ca, tls_no_verify), "schedule", body)


@app.command("request_plugin")
def request_plugin(
    *,
    filename: _Filename,
    database: Database,
    query: Annotated[
        str | None,
        typer.Option("--query", metavar="KEY=VALUE,..", help="Parameters of the request."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME:VALUE", help="A header; may be repeated."),
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", metavar="TEXT", help="Body of the request.")
    ] = None,
    body_file: Annotated[
        Path | None,
        typer.Option("--body-file", metavar="FILE", help="Read the body from a file."),
    ] = None,
    input_arguments: _Arguments = None,
    cache_name: _CacheName = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Run a plugin on a request."""
    document = _body(filename, database, input_arguments, cache_name)
    document["query_parameters"] = {} if query is None else key_values(query, "--query <PAIRS>")
    document["headers"] = dict(map(_header, header or ()))
    document |= _request_body(body, body_file)
    _send(Client(host, token, tls_ca, tls_no_verify), "request", document)


def _body(
    filename: str, database: str, arguments: str | None, cache_name: str | None
) -> dict[str, object]:
    option = "--input-arguments <INPUT_ARGUMENTS>"
    return {
        "filename": filename,
        "database": database,
        "input_arguments": None if arguments is None else key_values(arguments, option),
        "cache_name": cache_name,
    }


def _lines(lp: str | None, file: Path | None) -> str:
    if lp is not None and file is not None:
        raise WrongUsage("the argument '--lp <LP>' cannot be used with '--file <FILE>'")
    if lp is not None:
        return lp
    if file is None:
        raise CommandFailed("either --lp or --file must be provided")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"cannot read {file}: {error}") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise BadValue(text, "--header <NAME:VALUE>", 'must be formatted as "name:value"')
    return name.strip(), value.strip()


def _request_body(text: str | None, file: Path | None) -> dict[str, object]:
    if file is None:
        return {"body": text}
    if text is not None:
        raise WrongUsage("the argument '--body <TEXT>' cannot be used with '--body-file <FILE>'")
    try:
        return {"body_base64": base64.b64encode(file.read_bytes()).decode()}
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from error


def _send(client: Client, kind: str, body: dict[str, object]) -> None:
    headers = {"content-type": "application/json"}
    content = json.dumps(body).encode()
    with client.send("POST", f"{_PATH}/{kind}", body=content, headers=headers) as answer:
        report = json.load(answer)
    print(json.dumps(report, indent=2, ensure_ascii=False))
