"""`install package`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from engine.environments.installation import PackagesUnavailable, Wanted
from tests.http_services import EdgeParts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_packages_go_to_the_server_and_nothing_is_printed(
    at_server: Callable, parts: EdgeParts
) -> None:
    ended = at_server("install", "package", "pandas>=2", "six")

    assert ended == (0, "", "")
    assert parts.packages.seen == [Wanted(packages=("pandas>=2", "six"))]


def test_the_path_of_a_file_goes_as_it_is(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server("install", "package", "-r", "listed.txt")

    assert ended == (0, "", "")
    assert parts.packages.seen == [Wanted(requirements="listed.txt")]


def test_a_file_and_packages_go_one_after_the_other(at_server: Callable, parts: EdgeParts) -> None:
    assert at_server("install", "package", "--requirements", "listed.txt", "six").status == 0

    assert parts.packages.seen == [Wanted(requirements="listed.txt"), Wanted(packages=("six",))]


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
    assert at_server("install", "package", option, "anything", "six") == (0, "", "")

    assert parts.packages.seen == [Wanted(packages=("six",))]


def test_a_failure_is_told_with_the_servers_reason(at_server: Callable, parts: EdgeParts) -> None:
    parts.packages.answer = PackagesUnavailable("nosuch was not found")

    ended = at_server("install", "package", "nosuch")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Install command failed: server responded with error [422 ")
    assert ended.err.endswith("nosuch was not found\n")


def test_something_has_to_be_named(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server("install", "package")

    assert ended.status == 2
    assert "required arguments were not provided:\n  <PACKAGES>\n" in ended.err
    assert parts.packages.seen == []


def test_a_terminal_shows_that_something_goes_on(
    at_server: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    ended = at_server("install", "package", "six")

    assert (ended.status, ended.out) == (0, "")
    assert "Installing packages" in terminal.getvalue()
