"""The program: its commands, how they are found, and how their failures look.

Usage errors end with status 2, failed commands with 1, both with a text on standard error that
begins in the same words each time, because scripts look for them. The word `help` after command
words means `--help`; no arguments at all start the server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import (
    change,
    create,
    delete,
    environments,
    install,
    letters,
    show,
    test,
    update,
    wal,
)
from engine.cli.backup import backup, restore
from engine.cli.dotenv import load_dotenv
from engine.cli.failures import CommandFailed, MissingValue
from engine.cli.query import query
from engine.cli.serve import serve
from engine.cli.write import write

__all__ = ["app", "main"]

_ALIASES = {"q": "query", "w": "write"}
_INTERRUPTED = 130
_BROKEN_PIPE = 141  # as the shell counts a program that SIGPIPE ended


def _ancestor(name: str) -> type[Exception]:
    """Return a class above Typer's own error that Typer does not export."""
    return next(found for found in typer.BadParameter.__mro__ if found.__name__ == name)


_TERMINAL_ERROR = _ancestor("ClickException")
_USAGE_ERROR = _ancestor("UsageError")

app = typer.Typer(
    name="bulkhead",
    help="A processing engine for time series whose plugins run in processes of their own.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(*, asked: bool) -> None:
    if asked:
        print(f"bulkhead {metadata.version('bulkhead-engine')}")
        raise typer.Exit


@app.callback()
def _program(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=lambda asked: _print_version(asked=asked),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before any command."""


def _demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server up at the end, until Ctrl-C.")
    ] = False,
) -> None:
    """Show plugins at work, and one of them crash.

    A server is started in a temporary folder and stopped at the end.
    """
    from engine.cli.demo import run

    raise typer.Exit(run(keep=keep))


app.command("serve")(serve)
app.command("query")(query)
app.command("write")(write)
app.command("q", hidden=True)(query)
app.command("w", hidden=True)(write)
app.add_typer(create.app, name="create")
app.add_typer(show.app, name="show")
app.add_typer(letters.app, name="dead-letters")
app.add_typer(update.app, name="update")
app.add_typer(change.enable_app, name="enable")
app.add_typer(change.disable_app, name="disable")
app.add_typer(delete.app, name="delete")
app.add_typer(install.app, name="install")
app.add_typer(environments.rollback_app, name="rollback")
app.add_typer(environments.repair_app, name="repair")
app.add_typer(test.app, name="test")
app.add_typer(wal.app, name="wal")
app.command("backup")(backup)
app.command("restore")(restore)
app.command("demo")(_demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    load_dotenv(Path(), os.environ)
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    words = _with_help(command, given or ["serve"])
    try:
        status = _run(command, words)
        sys.stdout.flush()
        return status
    except CommandFailed as error:
        print(f"{_title(words)} command failed: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


def _run(command: Any, words: list[str]) -> int:  # noqa: ANN401  Typer does not export the type
    try:
        result = command.main(args=words, prog_name=_program_name(), standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except _TERMINAL_ERROR as error:
        _complain(error)
        return 2 if isinstance(error, _USAGE_ERROR) else 1
    return result if isinstance(result, int) else 0


def _complain(error: Any) -> None:  # noqa: ANN401  as above
    context = getattr(error, "ctx", None)
    usage = "" if context is None else f"{context.get_usage()}\n\n"
    print(f"error: {_text(error)}\n\n{usage}For more information, try '--help'.", file=sys.stderr)


def _text(error: Any) -> str:  # noqa: ANN401  as above
    """Return Typer's complaint in the words that scripts know."""
    match type(error).__name__:
        case "MissingParameter" if error.param is not None:
            return MissingValue(_placeholder(error.param)).message
        case "NoSuchOption":
            return f"unexpected argument '{error.option_name}' found"
        case _:
            text = str(error.format_message()).replace("Value error, ", "").rstrip(".")
            text = text.replace("No such command", "unrecognized subcommand")
            return text[:1].lower() + text[1:]


def _placeholder(parameter: Any) -> str:  # noqa: ANN401  as above
    options = [option for option in parameter.opts if option.startswith("--")]
    name = f"<{parameter.metavar or parameter.name.upper()}>"
    return f"{options[0]} {name}" if options else name


def _with_help(command: Any, words: list[str]) -> list[str]:  # noqa: ANN401  as above
    """Turn a last `help` that follows nothing but command words into `--help`.

    `--help-all` is taken for the same, because our help is not shortened.
    """
    if words[-1] == "--help-all":
        return [*words[:-1], "--help"]
    if words[-1] != "help":
        return words
    for word in words[:-1]:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            return words
    return [*words[:-1], "--help"]


def _program_name() -> str:
    called = Path(sys.argv[0]).name
    return called if called in {"bulkhead", "influxdb3"} else "bulkhead"


def _title(words: Sequence[str]) -> str:
    return _ALIASES.get(words[0], words[0]).capitalize()
