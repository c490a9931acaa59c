"""Plugins as files and folders, and their entry points, through a real server."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.probing import Probe
from tests.requesting import ENGINE, add
from tests.serving import Server, eventually, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("forms")) as running:
        running.create_database("db")
        yield running


@pytest.fixture(scope="module")
def probe(server: Server) -> Probe:
    return Probe.add(server)


def ask(server: Server, name: str) -> object:
    answer = server.request("GET", ENGINE + name)
    assert answer.status == 200, answer.text
    return answer.json()


def folder(server: Server, name: str, files: dict[str, str]) -> None:
    for file, code in files.items():
        server.plugin(f"{name}/{file}", textwrap.dedent(code))
    assert server.trigger("db", name, f"request:{name}", name).status == 200


# --- single files


def test_a_single_file_has_no_name_and_no_file(server: Server) -> None:
    add(
        server,
        "bare",
        """
        import json
        names = sorted(globals())
        def process_request(*args):
            assert len(args) == 5
            return {"names": names, "file": "__file__" in globals(), "json": json.dumps([1])}
        """,
    )

    assert ask(server, "bare") == {
        "names": ["__builtins__", "json"],
        "file": False,
        "json": "[1]",
    }


def test_nothing_of_a_single_file_survives_but_what_is_cached(server: Server) -> None:
    add(
        server,
        "fresh",
        """
        counter = 0
        class Kept:
            pass
        def process_request(influxdb3_local, *rest):
            global counter
            counter += 1
            kept = influxdb3_local.cache.get("kept")
            influxdb3_local.cache.put("kept", kept or Kept())
            return [counter, type(kept).__name__, isinstance(kept, Kept)]
        """,
    )

    answers = [ask(server, "fresh") for _ in range(3)]

    assert answers == [[1, "NoneType", False], [1, "Kept", False], [1, "Kept", False]]


def test_a_file_may_lie_in_a_folder_that_is_no_package(server: Server) -> None:
    server.plugin("deep/er/plugin.py", "def process_request(*args):\n    return [1]\n")
    server.trigger("db", "deep", "request:deep", "deep/er/plugin.py")

    assert ask(server, "deep") == [1]


def test_a_single_file_does_not_find_its_siblings(server: Server) -> None:
    server.plugin("sibling_of_a_file.py", "")
    add(server, "lonely", "import sibling_of_a_file\n")

    answer = server.request("GET", ENGINE + "lonely")

    assert answer.status == 500
    assert answer.json() == {
        "error": "ModuleNotFoundError: No module named 'sibling_of_a_file'",
    }


# --- folders


def test_a_folder_is_a_package_that_is_imported_once(server: Server) -> None:
    folder(
        server,
        "package",
        {
            "__init__.py": """
                from .parts import tools
                from . import state
                def process_request(*args):
                    state.counter += 1
                    return [__name__, tools.double(state.counter), tools.built(), "LineBuilder"
                            in globals()]
                """,
            "state.py": "counter = 0\n",
            "parts/__init__.py": "",
            "parts/tools.py": """
                from ..state import counter
                def double(number):
                    return 2 * number
                def built():
                    return LineBuilder("m").bool_field("b", True).build()
                """,
        },
    )

    assert ask(server, "package") == ["package", 2, "m b=t", False]
    assert ask(server, "package") == ["package", 4, "m b=t", False]


_IMPORTS_SIBLING = {
    "../sibling_of_a_folder.py": "",
    "__init__.py": """
        import sibling_of_a_folder
        def process_request(*args):
            return [sibling_of_a_folder.__name__]
        """,
}


def test_a_folder_does_not_find_its_siblings(server: Server) -> None:
    folder(server, "alone", _IMPORTS_SIBLING)

    answer = server.request("GET", ENGINE + "alone")

    assert answer.status == 500
    assert "No module named 'sibling_of_a_folder'" in answer.json()["error"]


def test_without_a_sandbox_a_folder_finds_its_siblings(tmp_path: Path) -> None:
    with serving(tmp_path, "--sandbox", "off") as unconfined:
        unconfined.create_database("db")
        folder(unconfined, "beside", _IMPORTS_SIBLING)

        assert ask(unconfined, "beside") == ["sibling_of_a_folder"]


def test_a_folder_that_cannot_be_imported_says_why(server: Server) -> None:
    folder(server, "broken", {"__init__.py": "import not_installed\n"})

    answer = server.request("GET", ENGINE + "broken")

    assert answer.json() == {
        "error": "Failed to import plugin module 'broken': ModuleNotFoundError: No module named "
        "'not_installed'\nHint: Check for syntax errors or missing dependencies in Python files."
    }


# --- entry points

_MISSING = (
    "the process_request function is not present in the plugin. Should be defined as: "
    "process_request(influxdb3_local, query_parameters, request_headers, request_body, "
    "args=None) -> Tuple[str, Optional[Dict[str, str]]]"
)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("", _MISSING),
        ("x = 1\n  y = 2\n", "IndentationError: unexpected indent (<string>, line 2)"),
        ("import nowhere_to_be", "ModuleNotFoundError: No module named 'nowhere_to_be'"),
        (
            "def process_request(influxdb3_local, query, headers, body):\n    return 'x'",
            (
                "Python function call failed: TypeError: process_request() takes 4 positional "
                "arguments but 5 were given"
            ),
        ),
        (
            "def process_request(*args):\n    raise SystemExit(3)",
            "Python function call failed: SystemExit: 3",
        ),
        (
            "def process_request(*args):\n    raise KeyboardInterrupt",
            "Python function call failed: KeyboardInterrupt: ",
        ),
    ],
)
def test_what_cannot_be_called_says_why_and_the_next_is_served(
    server: Server, probe: Probe, code: str, text: str
) -> None:
    name = f"bad{abs(hash(code))}"
    add(server, name, code)

    for _ in range(2):
        answer = server.request("GET", ENGINE + name)
        assert (answer.status, answer.json()) == (500, {"error": text})

    errors = server.logs("db", name, "ERROR")
    assert [each.split("\n")[0] for each in errors] == [f"error running request plugin: {text}"] * 2
    assert probe.value("1") == 1


@pytest.mark.parametrize(
    ("spec", "context", "text"),
    [
        (
            "all_tables",
            "wal",
            (
                "the process_writes function is not present in the plugin. Should be defined as: "
                "process_writes(influxdb3_local, table_batches, args=None)"
            ),
        ),
        (
            "every:100ms",
            "schedule",
            (
                "the process_scheduled_call function is not present in the plugin. Should be "
                "defined as: process_scheduled_call(influxdb3_local, call_time, args=None)"
            ),
        ),
    ],
)
def test_a_missing_entry_point_is_named(server: Server, spec: str, context: str, text: str) -> None:
    server.create_database(context)
    server.plugin("empty.py", "")
    server.trigger(context, context, spec, "empty.py", error_behavior="Disable")
    server.write(context, "m v=1")

    errors = eventually(lambda: server.logs(context, context, "ERROR"))

    assert errors[0].split("\n")[0] == f"error executing {context} plugin: {text}"


def test_one_file_may_serve_triggers_of_every_kind(server: Server) -> None:
    server.create_database("kinds")
    code = "def {}(influxdb3_local, *args):\n    influxdb3_local.info('ran', {!r}, len(args))\n"
    names = ("process_writes", "process_scheduled_call", "process_request")
    server.plugin("kinds.py", "".join(code.format(n, n) + "    return 'x'\n" for n in names))
    specs = ("all-tables", "every:100ms", "request:kinds")
    for name, spec in zip(names, specs, strict=True):
        server.trigger("kinds", name, spec, "kinds.py")

    server.write("kinds", "m v=1")
    server.request("GET", ENGINE + "kinds")

    for name, count in zip(names, (2, 2, 4), strict=True):
        eventually(lambda n=name, c=count: f"ran {n} {c}" in server.logs("kinds", n))
