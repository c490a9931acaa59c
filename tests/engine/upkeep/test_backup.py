"""Backups of a real catalog, log and files, received and restored."""

import io
import tarfile
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.change import AddFiles
from engine.catalog.commands import NewTrigger, create_database, create_table, create_trigger
from engine.catalog.deletion import Never, delete_database
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.errors import Busy
from engine.model.schema import Column, ColumnType
from engine.model.trigger import AllTablesSpec
from engine.storage.files import Files
from engine.storage.parquet import check_file, new_path, write_file
from engine.upkeep.backup import Backups, BackupStream, Site
from engine.upkeep.manifest import DamagedBackup, Manifest
from engine.upkeep.quiet import Quiet
from engine.upkeep.receive import read_manifest, receive
from engine.upkeep.restore import Restored, RestoreRefused, restore
from engine.wal.log import Log
from tests.engine.wal.samples import loads, write

NOW_NS = 1_700_000_000 * 10**9


class Node:
    """A node's folder with a catalog, a log, files and plugins."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "data" / "node0"
        self.plugins = folder / "plugins"
        self.catalog = CatalogStore.open(LocalObjects(self.root))
        self.log = Log.open(self.root / "wal", segment_bytes=4096)
        self.files = Files(self.root)
        self.quiet = Quiet()
        self.plugins.mkdir()
        self.site = Site(
            node_id="node0",
            root=self.root,
            plugin_dir=self.plugins,
            environment_dir=self.plugins / "venv",
            catalog=lambda: self.catalog.catalog,
            log=self.log,
            hold=self.quiet.hold,
            pin=self.files.pin,
            clock=ManualClock(NOW_NS),
        )
        self.backups = Backups(self.site)

    def add_file(self) -> str:
        """Persist a file with a row; return its path."""
        columns = (Column("host", ColumnType.TAG), Column("v", ColumnType.FLOAT))
        self.catalog.update(create_table("db", "t", columns))
        table = self.catalog.catalog.database("db").tables["t"]
        path = new_path(table.database_id, table.id, 5, 1)
        rows = pa.record_batch(
            {
                "host": pa.array(["a"]).dictionary_encode(),
                "v": pa.array([1.5]),
                "time": pa.array([5], pa.timestamp("ns")),
            }
        )
        file = write_file(rows, ["host"], self.root, path, 1)
        self.catalog.update(lambda _: [AddFiles(table.id, (file,), 1)])
        return path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    yield made
    made.log.close()


def drained(stream: BackupStream) -> bytes:
    raw = b""
    while (piece := stream.next_piece()) is not None:
        raw += piece
    stream.close()
    return raw


def received(raw: bytes, folder: Path) -> Manifest:
    folder.mkdir(exist_ok=True)
    return receive(io.BytesIO(raw), folder, lambda _: None)


def backed_up(node: Node, folder: Path, *, with_plugins: bool = True) -> Manifest:
    return received(drained(node.backups.begin(with_plugins=with_plugins)), folder)


def restored(backup: Path, folder: Path) -> Restored:
    return restore(backup, folder / "n", folder / "plugins", lambda _: None)


def test_everything_comes_back(node: Node, tmp_path: Path) -> None:
    path = node.add_file()
    node.log.append([write(float(n)) for n in range(3)])
    (node.plugins / "p.py").write_text("code")
    (node.root / "fetched").mkdir()
    (node.root / "fetched" / "f.py").write_text("fetched")

    manifest = backed_up(node, tmp_path / "backup")
    result = restored(tmp_path / "backup", tmp_path / "new")

    root = tmp_path / "new" / "n"
    catalog = CatalogStore.open(LocalObjects(root)).catalog
    log = Log.open(root / "wal")
    [file] = catalog.database("db").tables["t"].files
    assert result.manifest == manifest == read_manifest(tmp_path / "backup")
    assert (catalog, file.path) == (node.catalog.catalog, path)
    check_file(root, file)
    assert loads(log) == [0.0, 1.0, 2.0]
    assert log.next_sequence == node.log.next_sequence == manifest.end
    log.close()
    assert (tmp_path / "new" / "plugins" / "p.py").read_text() == "code"
    assert (root / "fetched" / "f.py").read_text() == "fetched"
    assert not list((tmp_path / "new").glob(".restoring-*"))


def test_length_is_known_before(node: Node) -> None:
    node.add_file()
    stream = node.backups.begin(with_plugins=True)

    assert stream.size_bytes == len(drained(stream))


def test_backup_shows_its_moment_whatever_comes_after(node: Node, tmp_path: Path) -> None:
    path = node.add_file()
    node.log.append([write(1.0)])
    stream = node.backups.begin(with_plugins=True)

    node.files.discard([path])
    for number in range(200):
        node.log.append([write(float(number + 2))])
    node.log.drop_before(node.log.next_sequence)
    node.catalog.update(create_database("later"))
    received(drained(stream), tmp_path / "backup")
    restored(tmp_path / "backup", tmp_path / "new")

    root = tmp_path / "new" / "n"
    log = Log.open(root / "wal")
    assert loads(log) == [1.0]
    assert "later" not in CatalogStore.open(LocalObjects(root)).catalog.databases
    assert (root / path).exists()
    assert not (node.root / path).exists()
    log.close()


def test_writes_meanwhile_are_whole_or_absent(node: Node, tmp_path: Path) -> None:
    stop = threading.Event()

    def keep_writing() -> None:
        number = 0.0
        while not stop.is_set():
            node.log.append([write(number)])
            number += 1

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for round_ in range(5):
            known = node.log.next_sequence
            backed_up(node, tmp_path / f"backup{round_}")
            restored(tmp_path / f"backup{round_}", tmp_path / f"new{round_}")
            log = Log.open(tmp_path / f"new{round_}" / "n" / "wal")
            values = loads(log)
            assert values == [float(n) for n in range(len(values))]
            assert log.next_sequence >= known
            log.close()
    finally:
        stop.set()
        writer.join()


def test_deleted_tables_are_backed_up_until_they_are_removed(node: Node, tmp_path: Path) -> None:
    path = node.add_file()
    node.catalog.update(delete_database("db", 0, Never()))

    manifest = backed_up(node, tmp_path / "backup")

    assert f"node/{path}" in {file.path for file in manifest.files}


def test_trigger_does_not_begin_behind_the_end_of_the_log(node: Node) -> None:
    node.catalog.update(create_database("db"))
    ranges = iter([((1, 2, 24),), node.log.segments()])

    class Growing:
        """A log that grows between two looks, while a trigger is created at its end."""

        def segments(self) -> tuple[tuple[int, int, int], ...]:
            new = NewTrigger("db", "t", "p.py", AllTablesSpec())
            if not node.catalog.catalog.triggers:
                node.log.append([write(1.0)])
                decide = create_trigger(new, start=node.log.next_sequence, now_ns=0)
                node.catalog.update(decide)
                return next(ranges)
            return node.log.segments()

    stream = Backups(replace(node.site, log=Growing())).begin(with_plugins=False)

    [trigger] = node.catalog.catalog.triggers.values()
    assert trigger.start == node.log.next_sequence
    assert f'"end": {trigger.start}'.encode() in drained(stream)


def test_one_backup_at_a_time(node: Node) -> None:
    first = node.backups.begin(with_plugins=False)

    with pytest.raises(Busy, match="another backup"):
        node.backups.begin(with_plugins=False)
    first.close()

    node.backups.begin(with_plugins=False).close()


def test_failed_beginning_lets_go(node: Node) -> None:
    site = replace(node.site, pin=_fail)
    backups = Backups(site)

    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            backups.begin(with_plugins=False)
    with node.quiet.hold():
        pass


def _fail(_paths: object) -> nullcontext[None]:
    raise OSError("disk")


def test_plugins_are_plain_files_that_are_not_hidden(node: Node, tmp_path: Path) -> None:
    for name in ("a/b.py", ".hidden/x.py", "a/__pycache__/b.pyc", "venv/lib/y.py", ".env"):
        file = node.plugins / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (node.plugins / "link.py").symlink_to(node.plugins / ".env")

    manifest = backed_up(node, tmp_path / "backup")
    without = backed_up(node, tmp_path / "without", with_plugins=False)

    assert [file.path for file in manifest.below("plugins")] == ["plugins/a/b.py"]
    assert without.below("plugins") == ()


@pytest.mark.parametrize("harm", [Path.unlink, lambda p: p.write_bytes(b"x" * p.stat().st_size)])
def test_file_that_is_damaged_on_the_server_is_named(
    node: Node, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    path = node.add_file()
    harm(node.root / path)

    with pytest.raises(DamagedBackup, match=f"damaged or missing: node/{path}"):
        backed_up(node, tmp_path / "backup")
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_archive_cut_anywhere_is_no_backup(node: Node, tmp_path: Path) -> None:
    (node.plugins / "p.py").write_text("code")
    raw = drained(node.backups.begin(with_plugins=True))
    end = raw.rindex(b"}") + 1

    for at in range(0, end, 499):
        with pytest.raises(DamagedBackup):
            received(raw[:at], tmp_path / f"backup{at}")


def test_nothing_leads_out_of_the_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("../x", "/etc/x", "node/../../x", "other/x")):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        with pytest.raises(DamagedBackup, match="no file of a backup"):
            received(raw.getvalue(), tmp_path / str(number))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        link = tarfile.TarInfo("node/l")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DamagedBackup):
        received(raw.getvalue(), tmp_path / "link")


def test_every_damaged_file_is_found_before_anything_is_written(node: Node, tmp_path: Path) -> None:
    node.add_file()
    (node.plugins / "p.py").write_text("code")
    manifest = backed_up(node, tmp_path / "backup")

    for file in manifest.files:
        path = tmp_path / "backup" / file.path
        before = path.read_bytes()
        for harmed in (b"", before[:-1], before + b"x", b"\xff" + before[1:]):
            path.write_bytes(harmed)
            with pytest.raises(DamagedBackup, match=f"damaged or missing: {file.path}"):
                restored(tmp_path / "backup", tmp_path / "new")
        path.write_bytes(before)
    assert not (tmp_path / "new").exists()
    restored(tmp_path / "backup", tmp_path / "new")


def test_nothing_is_restored_over_what_is_there(node: Node, tmp_path: Path) -> None:
    (node.plugins / "p.py").write_text("code")
    backed_up(node, tmp_path / "backup")
    new = tmp_path / "new"
    for used in ("n", "plugins"):
        (new / used).mkdir(parents=True)
        (new / used / "mine").write_text("mine")
        with pytest.raises(RestoreRefused, match=f"{new / used} is not empty"):
            restored(tmp_path / "backup", new)
        (new / used / "mine").unlink()

    restored(tmp_path / "backup", new)

    assert (new / "plugins" / "p.py").exists()


def test_folder_without_a_manifest_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(DamagedBackup, match="is no backup, or one that broke off"):
        restored(tmp_path, tmp_path / "new")


def test_leftover_of_a_restore_that_died_does_not_stay(node: Node, tmp_path: Path) -> None:
    backed_up(node, tmp_path / "backup")
    leftover = tmp_path / "new" / ".restoring-n"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("half")

    restored(tmp_path / "backup", tmp_path / "new")

    assert not leftover.exists()
    assert not (tmp_path / "new" / "n" / "half").exists()
