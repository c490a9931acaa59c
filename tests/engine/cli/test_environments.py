"""Commands about packages of triggers and their environments."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.commands import create_database
from engine.environments.failures import PackagesUnavailable
from tests.http_services import DESCRIPTION, EdgeParts

CREATE = ("create", "trigger", "-d", "db", "--trigger-spec", "every:1s", "--path", "p.py")
UPDATE = ("update", "trigger", "-d", "db", "-t", "t")
TOLD = " ~ numpy==1.26.4 -> 2.0\n + pandas==2.3.3\n - six==1.17.0\n"


@pytest.fixture(autouse=True)
def database(parts: EdgeParts) -> None:
    parts.catalog.update(create_database("db"))


def test_requirements_of_files_and_specs_are_sent_in_their_order(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    (tmp_path / "needs.txt").write_text(
        "# what it needs\n\npandas>=2  # for frames\n"
        "six==1.17.0 \\\n  --hash=sha256:ab --hash sha256:cd\n"
    )
    (tmp_path / "more").write_text("numpy")

    ended = at_server(
        *CREATE, "--requirements", "tzdata", "--requirements", "needs.txt",
        "--requirements", str(tmp_path / "more"), "t",
    )  # fmt: skip

    assert (ended.status, ended.out) == (0, "Trigger t created successfully\n")
    wanted = ("tzdata", "pandas>=2", "six==1.17.0", "numpy")
    assert parts.provisions.seen == [("prepare", "t", wanted)]


@pytest.mark.parametrize("name", ["gone.txt", "folder/gone"])
def test_a_file_that_is_not_there_is_told(at_server: Callable, parts: EdgeParts, name: str) -> None:
    ended = at_server(*CREATE, "--requirements", name, "t")

    assert ended.status == 1
    assert f"cannot read {name}" in ended.err
    assert parts.provisions.seen == []


@pytest.mark.parametrize(
    ("options", "call"),
    [
        (("--requirements", "six"), ("require", "db", "t", ("six",), False)),
        (("--no-requirements",), ("require", "db", "t", (), False)),
        (("--upgrade",), ("require", "db", "t", None, True)),
        (("--upgrade", "--requirements", "six"), ("require", "db", "t", ("six",), True)),
    ],
)
def test_packages_of_a_trigger_are_changed_and_the_difference_is_printed(
    at_server: Callable, parts: EdgeParts, options: tuple[str, ...], call: tuple
) -> None:
    ended = at_server(*UPDATE, *options)

    assert ended == (0, f"{TOLD}Trigger 't' updated successfully\n", "")
    assert parts.provisions.seen == [call]


def test_packages_that_cannot_be_had_leave_the_plugin_alone(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    parts.provisions.answer = PackagesUnavailable("nosuch was not found")
    (tmp_path / "p.py").write_text("# new\n")

    ended = at_server(*UPDATE, "--requirements", "nosuch", "-p", "p.py")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.endswith("nosuch was not found\n")
    assert parts.sources.seen == []


def test_requirements_and_none_at_once_are_refused(bulkhead: Callable) -> None:
    ended = bulkhead(*UPDATE, "--requirements", "six", "--no-requirements")

    assert ended.status == 2
    assert "'--requirements <FILE|SPEC>' cannot be used with '--no-requirements'" in ended.err


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("rollback", "environment", "t", "-d", "db"), ("rollback", "db", "t", None)),
        (
            ("rollback", "environment", "t", "-d", "db", "--to", "abc"),
            ("rollback", "db", "t", "abc"),
        ),
        (("rollback", "environment", "--shared"), ("rollback", None, None, None)),
        (("repair", "environment", "t", "-d", "db"), ("repair", "db", "t")),
        (("repair", "environment", "-d", "db", "--shared"), ("repair", None, None)),
    ],
)
def test_an_environment_is_rolled_back_and_repaired(
    at_server: Callable, parts: EdgeParts, words: tuple[str, ...], call: tuple
) -> None:
    done = f"rolled back to lock {'b' * 16}" if words[0] == "rollback" else "repaired"

    ended = at_server(*words)

    assert ended == (0, f"{TOLD}Environment {done} successfully\n", "")
    assert parts.provisions.seen == [call]


@pytest.mark.parametrize("command", ["show", "rollback", "repair"])
@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "<TRIGGER_NAME|--shared>"),
        (("t",), "--database <DATABASE_NAME>"),
        (("t", "-d", "db", "--shared"), "'[TRIGGER_NAME]' cannot be used with '--shared'"),
    ],
)
def test_it_must_be_clear_whose_environment_is_meant(
    bulkhead: Callable, command: str, words: tuple[str, ...], text: str
) -> None:
    ended = bulkhead(command, "environment", *words)

    assert ended.status == 2
    assert text in ended.err


def test_an_environment_is_shown_to_people(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server("show", "environment", "t", "-d", "db")

    assert parts.provisions.seen == [("describe", "db", "t")]
    assert ended.out.splitlines() == [
        "state:     broken: numpy is gone",
        "python:    3.12 (/usr/bin/python3.12)",
        f"lock:      {'b' * 16}",
        "asked for: pandas>=2",
        "used by:   db.t",
        "size:      3.0 MiB",
        "folder:    /srv/environments/bbbb",
        "history, newest first:",
        f"  2023-11-14T22:13:20.000000000Z  {'b' * 16}  upgraded",
        f"  1970-01-01T00:00:00.000000000Z  {'a' * 16}  created",
        "packages, 2:",
        "  numpy==2.0",
        "  pandas==2.3.3",
    ]


def test_an_environment_that_holds_nothing_is_shown(at_server: Callable, parts: EdgeParts) -> None:
    nothing = {"requirements": (), "used_by": (), "history": (), "packages": {}, "size_bytes": 0}
    gone = {"lock": None, "interpreter": "", "state": "missing", "reason_broken": None}
    parts.provisions.described = replace(DESCRIPTION, **nothing, **gone)

    ended = at_server("show", "environment", "--shared")

    assert ended.out.splitlines() == [
        "state:     missing",
        "python:    3.12",
        "lock:      none",
        "asked for: nothing",
        "used by:   nobody",
        "size:      0.0 MiB",
        "folder:    /srv/environments/bbbb",
        "packages, 0:",
    ]


def test_an_environment_is_shown_to_programs(at_server: Callable, parts: EdgeParts) -> None:
    ended = at_server("show", "environment", "t", "-d", "db", "--format", "json")

    shown = json.loads(ended.out)
    assert (shown["lock"], shown["packages"]) == (DESCRIPTION.lock, DESCRIPTION.packages)


@pytest.mark.parametrize(
    ("options", "conditions"),
    [
        ((), "WHERE state NOT IN ('superseded', 'failed') ORDER"),
        (("--all",), "WHERE true ORDER"),
        (("--all", "-d", "o'db"), "WHERE true AND (database = 'o''db' OR database IS NULL) ORDER"),
    ],
)
def test_environments_are_listed(
    at_server: Callable, parts: EdgeParts, options: tuple[str, ...], conditions: str
) -> None:
    parts.queries.databases.add("_internal")
    parts.queries.any_answer = pa.table({"lock": ["b" * 16]})

    ended = at_server("show", "environments", *options, "--format", "csv")

    assert ended.out.split() == ["lock", "b" * 16]
    [(database, sql, _)] = parts.queries.seen
    assert database == "_internal"
    assert conditions in " ".join(sql.split())


def test_what_a_folder_says_about_packages_is_sent_along(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    folder = tmp_path / "plug"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "requirements.txt", "manifest.toml", "pyproject.toml", "notes.txt"):
        (folder / name).write_text(f"# {name}\n")
    (folder / "inner" / "requirements.txt").write_text("six")

    assert at_server(*UPDATE, "-p", str(folder)).status == 0

    [(_, _, _, files)] = parts.sources.seen
    names = ["__init__.py", "manifest.toml", "pyproject.toml", "requirements.txt"]
    assert [file.name for file in files] == names
