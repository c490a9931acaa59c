"""Uploads: whole or not at all, and never outside the plugin folder."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import PluginFileError
from engine.plugins import disk, upload
from engine.plugins.paths import UploadRefused
from engine.plugins.upload import UploadedFile, Uploads

FOLDER = [UploadedFile("__init__.py", b"new"), UploadedFile("deep/er/m.py", b"m")]


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    return tmp_path / "plugins"


@pytest.fixture
def uploads(plugins: Path) -> Uploads:
    return Uploads(plugins)


def tree(folder: Path) -> dict[str, str]:
    """Return the files below a folder with their texts, and empty folders."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_text()
        elif not any(path.iterdir()):
            found[f"{path.relative_to(folder)}/"] = ""
    return found


def test_a_file_is_written_and_replaced(uploads: Uploads, plugins: Path) -> None:
    uploads.put_file("p.py", b"one")
    uploads.put_file("a/b/c.py", b"deep")
    uploads.put_file("a/b/d.py", b"beside")
    uploads.put_file("p.py", b"two")

    assert tree(plugins) == {"p.py": "two", "a/b/c.py": "deep", "a/b/d.py": "beside"}


def test_everybody_may_read_what_was_uploaded(uploads: Uploads, plugins: Path) -> None:
    before = os.umask(0o077)
    try:
        uploads.put_file("a/b/c.py", b"")
        uploads.put_folder("f", FOLDER)
    finally:
        os.umask(before)

    modes = {
        str(path.relative_to(plugins)): stat.S_IMODE(path.stat().st_mode)
        for path in plugins.rglob("*")
    }
    assert {name for name, mode in modes.items() if mode == 0o644} == {
        "a/b/c.py", "f/__init__.py", "f/deep/er/m.py",
    }  # fmt: skip
    assert {name for name, mode in modes.items() if mode == 0o755} == {
        "a", "a/b", "f", "f/deep", "f/deep/er",
    }  # fmt: skip


def test_a_folder_is_made_and_replaced_by_exactly_the_new_files(
    uploads: Uploads, plugins: Path
) -> None:
    uploads.put_folder("x/f", [UploadedFile("__init__.py", b"old"), UploadedFile("left.py", b"")])
    uploads.put_folder("x/f", FOLDER)

    assert tree(plugins) == {"x/f/__init__.py": "new", "x/f/deep/er/m.py": "m"}


def test_a_folder_is_replaced_where_paths_cannot_change_places(
    uploads: Uploads, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "exchange", lambda _one, _other: False)
    uploads.put_folder("f", [UploadedFile("__init__.py", b"old"), UploadedFile("left.py", b"")])

    uploads.put_folder("f", FOLDER)

    assert tree(plugins) == {"f/__init__.py": "new", "f/deep/er/m.py": "m"}


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/", "/etc/p.py", "../p.py", "a/../../p.py", "a/..", "a\0b", "a//b.py",
        "a/", "./p.py", ".venv/lib/x.pth", ".uploads/x", "a/.hidden", "a/__pycache__/p.pyc",
        "a" * 256, "/".join("a" * 33), "a\nb.py", "\ud800.py",
    ],
)  # fmt: skip
def test_names_that_may_not_be_written_are_refused(
    uploads: Uploads, tmp_path: Path, plugins: Path, name: str
) -> None:
    plugins.mkdir()
    uploads.put_folder("f", [UploadedFile("__init__.py", b"old")])

    with pytest.raises(UploadRefused):
        uploads.put_file(name, b"x")
    with pytest.raises(UploadRefused):
        uploads.put_folder(name, FOLDER)
    with pytest.raises(UploadRefused):
        uploads.put_folder("f", [*FOLDER, UploadedFile(name, b"x")])

    assert tree(tmp_path) == {"plugins/f/__init__.py": "old"}


def test_traversal_is_told_in_known_words(uploads: Uploads) -> None:
    with pytest.raises(UploadRefused) as refused:
        uploads.put_file("../p.py", b"")

    assert str(refused.value) == (
        "Path traversal detected: plugin filename '../p.py' attempts to access files "
        "outside the plugin directory"
    )


def test_links_that_lead_out_are_not_followed(
    uploads: Uploads, plugins: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.py").write_text("kept")
    plugins.mkdir()
    (plugins / "file.py").symlink_to(outside / "kept.py")
    (plugins / "folder").symlink_to(outside)
    (plugins / "dangling.py").symlink_to(outside / "new.py")
    (plugins / "loop").symlink_to("loop")

    for name in ("file.py", "folder/x.py", "folder/kept.py", "dangling.py", "loop", "loop/x"):
        with pytest.raises(UploadRefused):
            uploads.put_file(name, b"x")
    with pytest.raises(UploadRefused):
        uploads.put_folder("folder", FOLDER)

    assert tree(outside) == {"kept.py": "kept"}


def test_links_that_stay_inside_lead_to_what_is_replaced(uploads: Uploads, plugins: Path) -> None:
    (plugins / "real").mkdir(parents=True)
    (plugins / "link").symlink_to("real")

    uploads.put_file("link/p.py", b"one")
    uploads.put_folder("link", FOLDER)

    assert (plugins / "link").is_symlink()
    assert (plugins / "real" / "__init__.py").read_text() == "new"


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([UploadedFile("m.py", b"")], "must contain __init__.py"),
        ([], "must contain __init__.py"),
        ([*FOLDER, UploadedFile("__init__.py", b"")], "have the same path"),
        ([*FOLDER, UploadedFile("deep/er", b"")], "have the same path"),
        ([*FOLDER, UploadedFile("big.py", bytes(8 * 2**20 + 1))], "'big.py' is larger than"),
        ([*FOLDER, *(UploadedFile(f"{n}.py", b"") for n in range(999))], "more than 1000 files"),
    ],
)
def test_folders_that_cannot_be_are_refused(
    uploads: Uploads, plugins: Path, files: list[UploadedFile], text: str
) -> None:
    with pytest.raises(UploadRefused, match=text):
        uploads.put_folder("f", files)

    assert not plugins.exists()


def test_files_and_folders_do_not_replace_one_another(uploads: Uploads, plugins: Path) -> None:
    uploads.put_file("p.py", b"p")
    uploads.put_folder("f", FOLDER)
    before = tree(plugins)

    with pytest.raises(UploadRefused, match="names a folder"):
        uploads.put_file("f", b"")
    with pytest.raises(UploadRefused, match="goes through a file"):
        uploads.put_file("p.py/x.py", b"")
    with pytest.raises(UploadRefused, match="is a single file"):
        uploads.put_folder("p.py", FOLDER)

    assert tree(plugins) == before


def test_a_disk_that_refuses_changes_nothing(
    uploads: Uploads, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.put_folder("f", [UploadedFile("__init__.py", b"old")])
    written = itertools.count()

    def fail(path: Path, content: bytes) -> None:
        if next(written) == 1:
            raise OSError(28, "No space left on device")
        disk.write_file(path, content)

    monkeypatch.setattr(upload, "write_file", fail)

    with pytest.raises(PluginFileError, match="writing plugin file: f: No space left on device"):
        uploads.put_folder("f", FOLDER)

    assert tree(plugins) == {"f/__init__.py": "old"}


def test_readers_see_the_old_folder_or_the_new_one(uploads: Uploads, plugins: Path) -> None:
    def version(number: int) -> list[UploadedFile]:
        text = str(number).encode()
        return [UploadedFile("__init__.py", text), UploadedFile("m.py", text)]

    uploads.put_folder("f", version(0))
    is_done = threading.Event()

    def upload_all() -> None:
        for number in range(1, 30):
            uploads.put_folder("f", version(number))
        is_done.set()

    uploading = threading.Thread(target=upload_all)
    uploading.start()
    looks = 0
    while not is_done.is_set():
        folder = os.open(plugins / "f", os.O_RDONLY)
        try:
            # A folder that is removed meanwhile has lost files, but none has another's text.
            texts = {file.read_text() for file in Path(f"/proc/self/fd/{folder}").iterdir()}
        except FileNotFoundError:
            texts = set()
        finally:
            os.close(folder)
        assert len(texts) <= 1
        looks += 1
    uploading.join()

    assert looks > 10
    assert tree(plugins) == {"f/__init__.py": "29", "f/m.py": "29"}


KILLED = """\
import itertools, os, signal, sys
from pathlib import Path
from engine.plugins import disk, upload
from engine.plugins.upload import UploadedFile, Uploads

limit, can_exchange = int(sys.argv[2]), sys.argv[3] == "1"
steps = itertools.count()

def killing(call):
    def step(*arguments, **named):
        if next(steps) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return step

upload.write_file = killing(upload.write_file)
upload.sync_folder = killing(upload.sync_folder)
upload.exchange = killing(disk.exchange if can_exchange else lambda one, other: False)
upload.tempfile.mkdtemp = killing(upload.tempfile.mkdtemp)
upload.shutil.rmtree = killing(upload.shutil.rmtree)
for name in ("mkdir", "rename", "replace", "chmod"):
    setattr(Path, name, killing(getattr(Path, name)))
uploads = Uploads(Path(sys.argv[1]))
uploads.put_folder("f", [UploadedFile("__init__.py", b"new"), UploadedFile("d/m.py", b"new")])
uploads.put_file("a/b/p.py", b"new")
"""


@pytest.mark.slow
@pytest.mark.parametrize("can_exchange", ["1", "0"])
def test_a_kill_at_any_step_leaves_old_or_new_and_nothing_else(
    tmp_path: Path, can_exchange: str
) -> None:
    old, new = {"f/__init__.py": "old"}, {"f/__init__.py": "new", "f/d/m.py": "new"}
    seen = []
    for step in itertools.count():
        plugins = tmp_path / str(step)
        Uploads(plugins).put_folder("f", [UploadedFile("__init__.py", b"old")])
        command = [sys.executable, "-c", KILLED, str(plugins), str(step), can_exchange]
        ended = subprocess.run(command, check=False, cwd=Path(__file__).parents[3])
        Uploads(plugins).clean()
        seen.append(tree(plugins))
        if ended.returncode == 0:
            break
        assert ended.returncode == -9

    both = {**new, "a/b/p.py": "new"}
    kinds = [kind for kind, _ in itertools.groupby(seen)]
    assert kinds == [old, new, both]


def test_cleaning_removes_a_planted_link_and_not_what_it_leads_to(
    uploads: Uploads, plugins: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "x").mkdir()
    plugins.mkdir()
    (plugins / ".uploads").symlink_to(tmp_path / "kept")

    uploads.clean()

    assert (tmp_path / "kept" / "x").exists()
    assert list(plugins.iterdir()) == []
