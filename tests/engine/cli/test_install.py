"""`install package`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pytest

from engine.environments.failures import PackagesUnavailable
from engine.environments.installation import Wanted
from engine.model.lock import EnvironmentChange
from tests.http_services import CHANGE, EdgeParts
from tests.serving import eventually

TOLD = " ~ numpy==1.26.4 -> 2.0\n + pandas==2.3.3\n - six==1.17.0\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_packages_go_to_the_server_and_the_difference_is_printed(
    at_server: Callable, parts: EdgeParts
) -> None:
    ended = at_server("install", "package", "pandas>=2", "six")

    assert ended == (0, TOLD, "")
    assert parts.provisions.seen == [("install", Wanted(packages=("pandas>=2", "six")))]


def test_the_path_of_a_file_goes_as_it_is(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server("install", "package", "-r", "listed.txt")

    assert ended == (0, TOLD, "")
    assert parts.provisions.seen == [("install", Wanted(requirements="listed.txt"))]


def test_a_file_and_packages_go_one_after_the_other(at_server: Callable, parts: EdgeParts) -> None:
    assert at_server("install", "package", "--requirements", "listed.txt", "six").status == 0

    assert parts.provisions.seen == [
        ("install", Wanted(requirements="listed.txt")),
        ("install", Wanted(packages=("six",))),
    ]


@pytest.mark.parametrize(
    "option",
    [
        "--plugin-dir",
        "--virtual-env-location",
        "--package-manager",
        "--plugin-repo",
        "--restrict-plugin-triggers-to",
    ],
)
def test_options_of_serve_are_taken_and_change_nothing(
    at_server: Callable, parts: EdgeParts, option: str
) -> None:
    assert at_server("install", "package", option, "anything", "six") == (0, TOLD, "")

    assert parts.provisions.seen == [("install", Wanted(packages=("six",)))]


def test_a_failure_is_told_with_the_servers_reason(at_server: Callable, parts: EdgeParts) -> None:
    parts.provisions.answer = PackagesUnavailable("nosuch was not found")

    ended = at_server("install", "package", "nosuch")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Install command failed: server responded with error [422 ")
    assert ended.err.endswith("nosuch was not found\n")


def test_something_has_to_be_named(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server("install", "package")

    assert ended.status == 2
    assert "required arguments were not provided:\n  <PACKAGES>\n" in ended.err
    assert parts.provisions.seen == []


def test_a_terminal_shows_that_something_goes_on(
    at_server: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    ended = at_server("install", "package", "six")

    assert (ended.status, ended.out) == (0, TOLD)
    assert "Installing packages" in terminal.getvalue()


def test_a_terminal_shows_what_the_installer_says(
    at_server: Callable, parts: EdgeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("engine.cli.packages._ASK_EVERY_S", 0.01)
    parts.queries.databases.add("_internal")
    parts.queries.any_answer = pa.table({"last_line": ["Building [odd] 3/9"]})
    parts.provisions.answer = Future()

    def answer() -> None:
        eventually(lambda: "Building [odd] 3/9" in terminal.getvalue(), within_s=5)
        parts.provisions.answer.set_result(CHANGE)

    with ThreadPoolExecutor(1) as threads:
        answered = threads.submit(answer)
        ended = at_server("install", "package", "six")

    answered.result()
    assert (ended.status, ended.out) == (0, TOLD)
    assert "trigger_name IS NULL" in parts.queries.seen[0][1]


def test_nothing_to_change_is_told(at_server: Callable, parts: EdgeParts) -> None:
    parts.provisions.answer = EnvironmentChange(None, None, "3.11", {}, {}, {})

    assert at_server("install", "package", "six") == (0, "No package has changed\n", "")
