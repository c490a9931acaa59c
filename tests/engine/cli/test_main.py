"""How the program is called, helps and complains."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

USAGE_END = "For more information, try '--help'.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["create", "trigger", "help"],
        ["create", "trigger", "--help"],
        ["create", "trigger", "-h"],
        ["create", "trigger", "--help-all"],
    ],
)
def test_help_is_given_in_several_ways(bulkhead: Callable, words: list[str]) -> None:
    ended = bulkhead(*words)

    assert ended.status == 0
    assert "--trigger-spec" in ended.out
    assert ended.err == ""


def test_help_of_everything_names_commands_without_boxes(bulkhead: Callable) -> None:
    ended = bulkhead("help")

    commands = ["serve", "create", "show", "enable", "disable", "delete", "test", "write", "query"]
    for command in commands:
        assert f"  {command}" in ended.out
    assert not set("╭│╰─") & set(ended.out)


@pytest.mark.parametrize("word", ["token", "debug"])
def test_what_does_not_exist_is_not_advertised(bulkhead: Callable, word: str) -> None:
    assert word not in bulkhead("--help").out
    assert bulkhead(word).status == 2


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_is_told(bulkhead: Callable, flag: str) -> None:
    ended = bulkhead(flag)

    assert ended.status == 0
    assert ended.out.startswith("bulkhead 0.")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nope"], "unrecognized subcommand 'nope'"),
        (["--nope"], "unexpected argument '--nope' found"),
        (["create"], "missing command"),
        (["query", "-d"], "option '-d' requires an argument"),
        (["query", "SELECT 1"], "the following required arguments were not provided:"),
        (["write", "-d", "d", "-p", "fake", "x"], "invalid value 'fake' for '--precision"),
        (["query", "-d", "d", "x", "--format", "xml"], "invalid value for '--format': 'xml'"),
        (["query", "-d", "d", "x", "-H", "ftp://a"], "invalid value 'ftp://a' for '--host <URL>'"),
        (["query", "-d", "d", "x", "-l", "influxql"], "invalid value 'influxql' for '--language"),
        (["serve", "--object-store", "s3"], "invalid value 's3' for '--object-store <STORE>'"),
        (["serve", "--sandbox", "strict"], "invalid value 'strict' for '--sandbox <MODE>'"),
        (["serve", "--http-bind", "8181"], "invalid value '8181' for '--http-bind <HOST:PORT>'"),
        (["serve", "--wal-flush-interval", "1"], "invalid value '1' for '--wal-flush-interval"),
        (["serve", "--wal-flush-interval", "0s"], "invalid value '0s' for '--wal-flush-interval"),
        (["serve", "--hot-buffer-limit", "50%"], "invalid value '50%' for '--hot-buffer-limit"),
        (["serve", "--default-limit", "time=2d"], "invalid value 'time=2d' for '--default-limit"),
        (["serve", "--default-limit", "5m"], "invalid value '5m' for '--default-limit <NAME=VA"),
        (["serve", "--max-causes", "0"], "invalid value for '--max-causes'"),
        (
            ["serve", "--package-manager", "conda"],
            "invalid value 'conda' for '--package-manager <MANAGER>': possible values: discover, ",
        ),
        (
            ["serve", "--package-host", "a/b"],
            "invalid value 'a/b' for '--package-host <HOST[:PORT]",
        ),
        (["serve", "--environment-retention", "x"], "invalid value 'x' for '--environment-retent"),
        (
            ["serve", "--restrict-plugin-triggers-to", "wal,cron"],
            "invalid value 'cron' for '--restrict-plugin-triggers-to <KINDS>'",
        ),
        (["serve", "--node-id", "../x"], "invalid value '../x' for '--node-id <NODE_ID>'"),
        (["show", "system", "summary"], "the following required arguments were not provided:"),
    ],
)
def test_usage_errors_end_with_status_2(
    bulkhead: Callable, words: list[str], complaint: str
) -> None:
    ended = bulkhead(*words)

    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.startswith(f"error: {complaint}")
    assert ended.err.endswith(USAGE_END)


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["query", "-d", "d", "SELECT 1"], "Query"),
        (["q", "-d", "d", "SELECT 1"], "Query"),
        (["w", "-d", "d", "m f=1"], "Write"),
        (["show", "databases"], "Show"),
        (["create", "database", "d"], "Create"),
        (["enable", "trigger", "-d", "d", "t"], "Enable"),
        (["disable", "trigger", "-d", "d", "t"], "Disable"),
        (["delete", "trigger", "-d", "d", "t"], "Delete"),
    ],
)
def test_server_that_is_not_there_fails_the_command(
    bulkhead: Callable, words: list[str], title: str
) -> None:
    ended = bulkhead(*words, "-H", "http://127.0.0.1:1")

    assert ended.status == 1
    assert ended.err.startswith(f"{title} command failed: failed to send ")
    assert ended.err.endswith(" request: Connection refused\n")


def test_program_starts_fast_and_light() -> None:
    heavy = {"pyarrow", "datafusion", "numpy", "starlette", "uvicorn", "rich", "httptools", "zmq"}
    code = f"""
import sys
from engine.cli.main import main
status = main(["create", "trigger", "--help"])
print(sorted({heavy!r} & set(sys.modules)), status)
"""
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert ended.stdout.endswith("[] 0\n")
    assert time.monotonic() - started < 5.0  # a net only: the machine may be busy


def test_module_runs_as_the_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "engine", "nope"], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("error: unrecognized subcommand 'nope'")


def test_reader_that_has_left_ends_the_program_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "engine", "--help"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)

    assert ended.stderr == ""
    assert ended.returncode in {1, 141}  # whoever notices first: Typer, or we at the end
