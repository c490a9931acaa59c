"""Texts in which plugins ask: found beside the code, and changing with it."""

import os
from pathlib import Path

import pytest

from engine.environments.asking import PluginTexts, RequirementsInvalid
from engine.environments.reading import texts_of
from engine.plugins.source import PluginFolder

MANIFEST = '[dependencies]\npython = ["adtk"]\n'


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFolder:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("import adtk\n")
    (tmp_path / "mine" / "single.py").write_text("x = 1\n")
    (tmp_path / "single.py").write_text("x = 1\n")
    return PluginFolder(tmp_path)


def write(plugins: PluginFolder, name: str, text: str) -> None:
    """Write as of a while ago: what is quite new may still be being written."""
    path = plugins.directory / name
    path.write_text(text)
    os.utime(path, (1, len(text)))


def test_texts_of_a_folder_are_those_of_its_files(plugins: PluginFolder) -> None:
    write(plugins, "mine/requirements.txt", "b\n")
    write(plugins, "mine/pyproject.toml", "[project]\n")
    write(plugins, "mine/manifest.toml", MANIFEST)

    texts = texts_of(plugins.check("mine"))

    assert texts == PluginTexts("mine", "import adtk\n", "b\n", "[project]\n", MANIFEST)


def test_a_manifest_in_the_folder_of_a_single_file_is_its_own(plugins: PluginFolder) -> None:
    write(plugins, "mine/manifest.toml", MANIFEST)
    write(plugins, "manifest.toml", "# of nobody\n")

    assert texts_of(plugins.check("mine/single.py")).manifest == MANIFEST
    assert texts_of(plugins.check("single.py")).manifest is None


@pytest.mark.parametrize("name", ["mine", "mine/single.py"])
def test_a_change_of_what_is_asked_is_another_version(plugins: PluginFolder, name: str) -> None:
    code = plugins.find(name)
    versions = [code.current().version]

    for text in ("# one\n", MANIFEST):
        write(plugins, "mine/manifest.toml", text)
        versions.append(code.current().version)
        assert texts_of(code.current()).manifest == text
    (plugins.directory / "mine" / "manifest.toml").unlink()

    assert texts_of(code.current()).manifest is None
    assert len(set(versions)) == 3
    assert code.current().version == versions[0]


def test_lists_that_lie_elsewhere_are_not_read(plugins: PluginFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("adtk\n")
    (tmp_path / "mine" / "requirements.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "mine" / "pyproject.toml")

    texts = texts_of(plugins.check("mine"))

    assert (texts.requirements, texts.pyproject) == (None, None)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff", "mine: requirements.txt is not UTF-8 text"),
        (b"#" * 262_145, "mine: requirements.txt is larger than 262144 bytes"),
    ],
)
def test_lists_that_are_no_lists_are_refused(
    plugins: PluginFolder, content: bytes, complaint: str
) -> None:
    (plugins.directory / "mine" / "requirements.txt").write_bytes(content)

    with pytest.raises(RequirementsInvalid, match=complaint):
        texts_of(plugins.check("mine"))


def test_a_manifest_that_is_too_large_is_refused(plugins: PluginFolder) -> None:
    write(plugins, "mine/manifest.toml", "#" * 262_145)

    with pytest.raises(RequirementsInvalid, match=r"manifest\.toml is larger than 262144 bytes"):
        texts_of(plugins.check("mine/single.py"))
