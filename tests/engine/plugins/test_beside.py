"""What a plugin finds in the plugin folder, and whether that has changed."""

from pathlib import Path

import pytest

from engine.plugins.beside import View, seen_by, seen_in


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    for name in ("alert.py", "other.py", "rules.toml", ".env", "sub/deep.py", "sub/deep.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    return folder


def view(plugins: Path, name: str) -> View:
    return View(seen_in(plugins, name), lambda: seen_by(plugins, name))


def test_a_plugin_sees_itself_and_data_files_but_no_code_or_folder_of_others(
    plugins: Path,
) -> None:
    assert set(seen_by(plugins, "alert.py")) == {"alert.py", "rules.toml"}
    assert set(seen_by(plugins, "package")) == {"package", "rules.toml"}
    assert set(seen_by(plugins, "gh:some/plugin.py")) == {"rules.toml"}


def test_a_plugin_in_a_subfolder_sees_what_lies_beside_it_too(plugins: Path) -> None:
    assert set(seen_by(plugins, "sub/deep.py")) == {"sub/deep.py", "sub/deep.json", "rules.toml"}


def test_a_link_that_leads_out_of_the_folder_is_not_seen(plugins: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (plugins / "stolen.toml").symlink_to(tmp_path / "secret")
    (plugins / "linked.toml").symlink_to("rules.toml")

    assert set(seen_by(plugins, "alert.py")) == {"alert.py", "rules.toml", "linked.toml"}


def test_a_link_that_leads_out_of_a_subfolder_is_not_seen(plugins: Path) -> None:
    (plugins / "sub" / "stolen.txt").symlink_to("../other.py")
    (plugins / "sub" / "linked.txt").symlink_to("deep.json")

    seen = set(seen_by(plugins, "sub/deep.py"))
    assert seen == {"sub/deep.py", "sub/deep.json", "sub/linked.txt", "rules.toml"}


def test_a_file_that_is_replaced_added_or_removed_changes_the_view(plugins: Path) -> None:
    replaced, added, removed = (view(plugins, "alert.py") for _ in range(3))

    assert not replaced.has_changed()
    (plugins / "new").write_text("")
    (plugins / "new").rename(plugins / "rules.toml")
    assert replaced.has_changed()
    assert replaced.has_changed()  # and stays changed
    (plugins / "more.json").write_text("")
    assert added.has_changed()
    (plugins / "rules.toml").unlink()
    assert removed.has_changed()


def test_other_plugins_and_its_own_text_leave_the_view_as_it_is(plugins: Path) -> None:
    before = view(plugins, "alert.py")

    (plugins / "new").write_text("x = 1")
    (plugins / "new").rename(plugins / "alert.py")
    (plugins / "third.py").write_text("")
    (plugins / "rules.toml").write_text("changed = true")

    assert not before.has_changed()
