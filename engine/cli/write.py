"""`write`: line protocol from the command line, a file or standard input."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.chunks import Chunk, chunked
from engine.cli.client import Client, ServerRefused
from engine.cli.failures import BadValue, CommandFailed
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token

__all__ = ["write"]

_BUSY_TRIES = 8
_BUSY_PAUSE_S = 1.0


def _precision(text: str | None) -> str | None:
    known = ("auto", "s", "second", "ms", "millisecond", "us", "u", "microsecond")
    if text is not None and text not in (*known, "ns", "n", "nanosecond"):
        reason = f"unrecognized precision unit: {text}"
        raise BadValue(text, "--precision <PRECISION>", reason)
    return text


def write(
    *,
    database: Database,
    line: Annotated[
        list[str] | None, typer.Argument(metavar="LINE_PROTOCOL", help="The lines.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Read the lines from a file."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            "-p",
            metavar="PRECISION",
            callback=_precision,
            help="Unit of the timestamps: auto, s, ms, us or ns.",
        ),
    ] = None,
    accept_partial: Annotated[
        bool, typer.Option("--accept-partial", help="Keep the good lines of a body with bad ones.")
    ] = False,
    no_sync: Annotated[
        bool, typer.Option("--no-sync", help="Do not wait until the lines are durable.")
    ] = False,
    compress: Annotated[bool, typer.Option("--gzip", help="Compress what is sent.")] = False,
    max_request_size: Annotated[
        int, typer.Option(metavar="BYTES", min=1, help="Size of a request at most.")
    ] = 10 * 1024 * 1024,
    max_concurrent_requests: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Requests at a time at most.")
    ] = 32,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    host: Host = DEFAULT_HOST,
    write_host: Annotated[
        str | None,
        typer.Option(
            envvar="INFLUXDB3_WRITE_HOST_URL", metavar="URL", help="Used instead of --host."
        ),
    ] = None,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Write line protocol.

    The lines are given here, in a file, or on standard input.
    """
    params = {"db": database}
    if precision is not None:
        params["precision"] = precision
    if accept_partial:
        params["accept_partial"] = "true"
    if no_sync:
        params["no_sync"] = "true"
    sender = _Sender(Client(write_host or host, token, tls_ca, tls_no_verify), params, compress)
    with _source(line, file) as physical:
        _send_all(sender, chunked(physical, max_request_size), max_concurrent_requests, quiet=quiet)


@dataclass(frozen=True, slots=True)
class _Sender:
    client: Client
    params: dict[str, str]
    compress: bool

    def send(self, chunk: Chunk, gave_up: threading.Event) -> Chunk:
        """Send one body; a server that is busy is asked again, a few times."""
        body = gzip.compress(chunk.body, 1) if self.compress else chunk.body
        headers = {"content-type": "text/plain; charset=utf-8"}
        if self.compress:
            headers["content-encoding"] = "gzip"
        for left in reversed(range(_BUSY_TRIES)):
            try:
                with self.client.send(
                    "POST", "/api/v3/write_lp", params=self.params, body=body, headers=headers
                ) as answer:
                    answer.read()
                break
            except ServerRefused as error:
                if error.status != HTTPStatus.SERVICE_UNAVAILABLE or not left:
                    raise _placed(error, chunk) from error
                if gave_up.wait(_BUSY_PAUSE_S):
                    raise
        return chunk


def _send_all(sender: _Sender, chunks: Iterator[Chunk], at_once: int, *, quiet: bool) -> None:
    gave_up = threading.Event()
    lines = size = 0
    with ThreadPoolExecutor(at_once) as pool:
        running: set[Future[Chunk]] = set()
        try:
            for chunk in chunks:
                running.add(pool.submit(sender.send, chunk, gave_up))
                if len(running) < at_once:
                    continue
                done, running = wait(running, return_when=FIRST_COMPLETED)
                lines, size = _count(done, lines, size, quiet=quiet)
            _count(wait(running).done, lines, size, quiet=quiet)
        except BaseException:
            gave_up.set()
            raise


def _count(done: Iterable[Future[Chunk]], lines: int, size: int, *, quiet: bool) -> tuple[int, int]:
    for future in done:
        chunk = future.result()
        lines, size = lines + chunk.lines, size + len(chunk.body)
        if not quiet:
            print(f"  {lines} lines, {size} bytes written", file=sys.stderr)
    return lines, size


def _placed(error: ServerRefused, chunk: Chunk) -> CommandFailed:
    """Tell where the body starts to which the server's line numbers refer."""
    if chunk.first_line == 1:
        return error
    return CommandFailed(f"{error}\n(line numbers count from line {chunk.first_line} of the input)")


@contextmanager
def _source(lines: list[str] | None, file: Path | None) -> Iterator[Iterable[bytes]]:
    if lines:
        yield BytesIO("\n".join(lines).encode(errors="surrogateescape"))
    elif file is not None:
        try:
            opened = file.open("rb")
        except OSError as error:
            raise CommandFailed(f"cannot read {file}: {error.strerror}") from error
        with opened:
            yield opened
    elif sys.stdin is None or sys.stdin.isatty():
        raise CommandFailed(
            "No input from stdin detected, no string was passed in,  and no file path was given"
        )
    else:
        yield sys.stdin.buffer
