"""Where answers go: the terminal, a pipe, or a file."""

from __future__ import annotations

import shutil
import sys
from http.client import HTTPResponse
from pathlib import Path

from engine.cli.failures import CommandFailed
from engine.cli.options import OutputFormat

__all__ = ["deliver", "refuse_binary_terminal"]


def refuse_binary_terminal(shape: OutputFormat, output: Path | None) -> None:
    """Keep Parquet off a terminal.

    Raises:
        CommandFailed: it would be written to one.
    """
    if shape is OutputFormat.parquet and output is None and sys.stdout.isatty():
        raise CommandFailed(
            "cannot write parquet to a terminal, use `--output <file>` or pipe the output"
        )


def deliver(answer: HTTPResponse, shape: OutputFormat, output: Path | None) -> None:
    """Copy an answer to a file, or to standard output with a newline after text."""
    if output is not None:
        try:
            with output.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise CommandFailed(f"cannot write {output}: {error.strerror}") from error
        return
    sys.stdout.flush()
    shutil.copyfileobj(answer, sys.stdout.buffer)
    if shape is not OutputFormat.parquet:
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
