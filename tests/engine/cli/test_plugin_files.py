"""Commands that send plugins to the server."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.commands import create_database
from engine.plugins.upload import UploadedFile
from engine.triggers.sources import UpdatedPluginNotFound
from tests.http_services import EdgeParts

CREATE = ("create", "trigger", "-d", "db", "--trigger-spec", "every:1s", "--upload", "--path")
UPDATE = ("update", "trigger", "-d", "db", "-t", "t", "-p")


@pytest.fixture(autouse=True)
def database(parts: EdgeParts) -> None:
    parts.catalog.update(create_database("db"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a plugin folder with what is to be sent, and with what is not."""
    made = tmp_path / "here" / "plug"
    left_out = ("notes.txt", "__pycache__/m.py", ".venv/x.py", "d/.hidden.py")
    for name in ("__init__.py", "d/m.py", *left_out):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(f"# {name}\n")
    (made / "link.py").symlink_to("__init__.py")
    return made


def test_a_file_is_uploaded_under_its_last_name(
    at_server: Callable, parts: EdgeParts, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "p.py").write_bytes(b"a = 'x'\r\n")

    ended = at_server(*CREATE, "here/p.py", "t")

    assert (ended.status, ended.out) == (0, "Trigger t created successfully\n")
    assert parts.sources.seen == [("create_file", "p.py", b"a = 'x'\r\n")]
    assert parts.catalog.catalog.trigger_named("db", "t").plugin == "p.py"


@pytest.mark.parametrize("given", ["here/plug", "here/plug/", "./here/../here/plug"])
def test_the_python_files_of_a_folder_are_uploaded(
    at_server: Callable, parts: EdgeParts, folder: Path, given: str
) -> None:
    ended = at_server(*CREATE, given, "t")

    assert ended.status == 0
    assert parts.sources.seen == [
        ("create_file", "plug/__init__.py", b"# __init__.py\n"),
        ("create_file", "plug/d/m.py", b"# d/m.py\n"),
    ]
    assert parts.catalog.catalog.trigger_named("db", "t").plugin == "plug"


def test_what_cannot_be_uploaded_makes_no_trigger(
    at_server: Callable, parts: EdgeParts, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.py").write_bytes(b"# \xe4\n")

    missing = at_server(*CREATE, "nope.py", "t")
    bare = at_server(*CREATE, "empty", "t")
    no_text = at_server(*CREATE, "latin.py", "t")

    assert (missing.status, bare.status, no_text.status) == (1, 1, 1)
    assert missing.err == "Create command failed: File not found: nope.py\n"
    assert bare.err == (
        "Create command failed: Multi-file plugin directory must contain __init__.py: empty\n"
    )
    assert no_text.err.startswith("Create command failed: cannot read latin.py: ")
    assert not parts.catalog.catalog.triggers
    assert parts.sources.seen == []


def test_a_trigger_is_updated_from_a_file(
    at_server: Callable, parts: EdgeParts, folder: Path
) -> None:
    ended = at_server(*UPDATE, "here/plug/d/m.py")

    assert (ended.status, ended.out) == (0, "Trigger 't' updated successfully\n")
    assert parts.sources.seen == [("update_file", "t", "db", b"# d/m.py\n")]


def test_a_trigger_is_updated_from_a_folder(
    at_server: Callable, parts: EdgeParts, folder: Path
) -> None:
    ended = at_server(*UPDATE, "here/plug")

    text = "Trigger 't' updated successfully (atomic directory replacement)\n"
    assert (ended.status, ended.out) == (0, text)
    files = [
        UploadedFile("__init__.py", b"# __init__.py\n"),
        UploadedFile("d/m.py", b"# d/m.py\n"),
    ]
    assert parts.sources.seen == [("update_folder", "t", "db", files)]


def test_updates_that_fail_say_why(at_server: Callable, parts: EdgeParts, folder: Path) -> None:
    (folder / "__init__.py").unlink()

    missing = at_server(*UPDATE, "nope")
    bare = at_server(*UPDATE, "here/plug")
    parts.sources.refusal = UpdatedPluginNotFound("t")
    unknown = at_server(*UPDATE, "here/plug/d/m.py")

    assert missing.err == "Update command failed: Path does not exist: nope\n"
    assert bare.err.startswith("Update command failed: Multi-file plugin directory must contain")
    assert unknown.err == (
        "Update command failed: server responded with error [500 Internal Server Error]: "
        "Processing engine error: plugin error: Plugin not found: t\n"
    )


def test_plugins_are_shown(at_server: Callable, parts: EdgeParts) -> None:
    sql = "SELECT * FROM system.plugin_files"
    parts.queries.databases.add("_internal")
    parts.queries.answers[sql] = pa.table({"plugin_name": ["t"]})

    ended = at_server("show", "plugins", "--format", "csv")

    assert (ended.status, ended.out.split()) == (0, ["plugin_name", "t"])
    assert [call[:2] for call in parts.queries.seen] == [("_internal", sql)]
