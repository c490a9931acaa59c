"""What commands about packages share: reading lists, telling changes, waiting for a server."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.client import Client
from engine.cli.failures import CommandFailed
from engine.cli.options import OutputFormat
from engine.cli.plugin_files import read_text
from engine.cli.query import ask

if TYPE_CHECKING:
    from rich.status import Status

__all__ = [
    "EVERYWHERE",
    "SHARED",
    "Whose",
    "print_change",
    "quoted",
    "requirement_texts",
    "waiting",
]

# Database and trigger; None for the environment that all share.
Whose = tuple[str, str] | None
SHARED: Whose = None
EVERYWHERE = "_internal"

_LAST_LINE = """SELECT last_line FROM system.processing_engine_environments
WHERE state = 'building' AND {} ORDER BY time DESC LIMIT 1"""
_ASK_EVERY_S = 0.5
_COMMENT = re.compile(r"(^|\s)#.*")
_HASH = re.compile(r"\s--hash[=\s]\S+")


def requirement_texts(given: Sequence[str]) -> list[str]:
    """Return the requirements that are given one by one or as files, in their order.

    What ends with `.txt`, has a `/`, or is the name of a file, is a file; the rest is taken as it
    is, as an address is, and judged by the server.

    Raises:
        CommandFailed: a file cannot be read.
    """
    texts: list[str] = []
    for one in given:
        texts += _listed(Path(one)) if _is_file(one) else [one]
    return texts


def print_change(change: Mapping[str, Any]) -> None:
    """Tell how the packages of an environment have changed, a line for each."""
    lines = {name: f" + {name}=={version}" for name, version in change["added"].items()}
    lines |= {name: f" - {name}=={version}" for name, version in change["removed"].items()}
    for name, (before, after) in change["changed"].items():
        lines[name] = f" ~ {name}=={before} -> {after}"
    for name in sorted(lines):
        print(lines[name])
    if not lines:
        print("No package has changed")


@contextmanager
def waiting(client: Client, text: str, whose: Whose) -> Iterator[None]:
    """Show on a terminal that something goes on, and how far it is; nothing elsewhere.

    Args:
        client: asked now and then, by a thread of its own.
        text: what goes on.
        whose: the environment that is being built.
    """
    try:
        if sys.stderr.isatty():
            with _shown(client, text, whose):
                yield
        else:
            yield
    except KeyboardInterrupt:
        print(
            "The server goes on with it; see what becomes of it with: "
            "bulkhead show environments --all",
            file=sys.stderr,
        )
        raise


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'{}'".format(text.replace("'", "''"))


@contextmanager
def _shown(client: Client, text: str, whose: Whose) -> Iterator[None]:
    from rich.console import Console

    ended = threading.Event()
    with Console(stderr=True).status(text) as status:
        # It must not keep the program when the server does not answer: there is no work in it.
        watching = threading.Thread(
            target=_show_lines, args=(client, whose, status, text, ended), daemon=True
        )
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join(_ASK_EVERY_S)


def _show_lines(
    client: Client, whose: Whose, status: Status, text: str, ended: threading.Event
) -> None:
    from rich.text import Text

    while not ended.wait(_ASK_EVERY_S):
        line = _last_line(client, whose)
        if line and not ended.is_set():
            status.update(Text(f"{text}: {line}", no_wrap=True, overflow="ellipsis"))


def _last_line(client: Client, whose: Whose) -> str | None:
    if whose is None:
        which = "trigger_name IS NULL"
    else:
        database, trigger = map(quoted, whose)
        which = f"database = {database} AND trigger_name = {trigger}"
    try:
        with ask(client, EVERYWHERE, _LAST_LINE.format(which), OutputFormat.json) as answer:
            rows = json.load(answer)
    except (CommandFailed, OSError, ValueError):
        return None  # whoever waits for the change is told what is wrong
    return rows[0]["last_line"] if rows else None


def _is_file(text: str) -> bool:
    is_address = "://" in text or " @ " in text
    return not is_address and (text.endswith(".txt") or "/" in text or Path(text).is_file())


def _listed(path: Path) -> list[str]:
    """Return the lines of a requirements file without comments and hashes.

    The server makes a lock of its own, with hashes; options that it does not know it refuses.
    """
    text = read_text(path).replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (_HASH.sub("", _COMMENT.sub("", line)).strip() for line in text.splitlines())
    return [line for line in lines if line]
