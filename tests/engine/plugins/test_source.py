from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.errors import PluginFileError
from engine.plugins.source import PluginFolder


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text("a = 1")
    code = PluginFolder(tmp_path).open("p.py")
    before = code.current()

    file.write_text("a = 22")
    after = code.current()

    assert (before.text, after.text) == ("a = 1", "a = 22")
    assert before.version != after.version


def test_the_last_good_text_serves_when_the_file_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text("a = 1")
    code = PluginFolder(tmp_path).open("p.py")
    code.current()

    file.unlink()

    assert code.current().text == "a = 1"


def test_a_folder_changes_its_version_with_any_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "p" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "p" / "__init__.py").write_text("")
    (folder / "m.py").write_text("a = 1")
    code = PluginFolder(tmp_path).open("p/")
    before = code.current()

    (folder / "m.py").write_text("a = 22")

    assert before.folder == str(tmp_path / "p")
    assert code.current().version != before.version


@pytest.mark.parametrize("name", ["../p.py", "/etc/hosts", "a/../../p.py", ".", "", "a\0b"])
def test_a_name_cannot_leave_the_plugin_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginFileError, match="Path traversal detected"):
        PluginFolder(tmp_path).open(name)


def test_a_link_cannot_leave_the_plugin_folder(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (tmp_path / "secret.py").write_text("")
    (plugins / "p.py").symlink_to(tmp_path / "secret.py")

    with pytest.raises(PluginFileError, match="Path traversal detected"):
        PluginFolder(plugins).open("p.py")


def test_a_missing_plugin_and_a_folder_without_init_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder = PluginFolder(tmp_path)

    with pytest.raises(PluginFileError, match=r"Plugin not found: .*nope\.py"):
        folder.open("nope.py")
    with pytest.raises(PluginFileError, match=r"must contain __init__\.py"):
        folder.open("empty")


def test_code_that_is_not_there_yet_is_found_once_it_is(tmp_path: Path) -> None:
    code = PluginFolder(tmp_path / "plugins").find("p.py")

    with pytest.raises(PluginFileError, match=r"Plugin not found: .*p\.py"):
        code.current()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "p.py").write_text("a = 1")

    assert code.current().text == "a = 1"


def test_missing_code_is_reported_once_each_time_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    reports: list[str] = []
    code = PluginFolder(tmp_path).find("p.py", reports.append)

    for _ in range(2):
        file.write_text("a = 1")
        code.current()
        file.unlink()
        code.current()
        code.current()

    assert len(reports) == 2
    assert "the last good copy goes on serving" in reports[0]


def test_unreadable_text_does_not_replace_the_last_good_one(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text("a = 1")
    code = PluginFolder(tmp_path).open("p.py")
    code.current()

    file.write_bytes(b"\xff\xfe")

    assert code.current().text == "a = 1"


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text("old")
    code = PluginFolder(tmp_path).open("p.py")
    code.current()
    parts = [f"part {number}\n" for number in range(10)]
    is_begun = threading.Event()

    def write() -> None:
        with file.open("w") as writing:
            for part in parts:
                writing.write(part)
                writing.flush()
                is_begun.set()
                threading.Event().wait(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    is_begun.wait()
    seen = code.current().text
    writer.join()

    assert seen == "".join(parts)


def test_two_edits_in_a_row_of_the_same_length_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text("0")
    code = PluginFolder(tmp_path).open("p.py")

    for number in range(1, 6):
        file.write_text(f"{number}")
        assert code.current().text == str(number)


def test_a_plugin_of_a_repository_needs_one(tmp_path: Path) -> None:
    with pytest.raises(PluginFileError, match="there is no plugin repository"):
        PluginFolder(tmp_path).open("gh:examples/x.py").current()
