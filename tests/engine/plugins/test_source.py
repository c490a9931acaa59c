from __future__ import annotations

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
    with pytest.raises(PluginFileError, match="put the file into"):
        folder.open("gh:examples/x.py")
