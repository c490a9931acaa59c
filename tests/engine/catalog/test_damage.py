"""Torn, flipped and zeroed bytes at every offset of commits and snapshots."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from engine.catalog.change import AddFiles, Change, CreateDatabase, CreateTable
from engine.catalog.codec import is_whole
from engine.catalog.objects import LocalObjects
from engine.catalog.snapshots import Snapshots
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.errors import CorruptCatalog
from engine.model.file import ParquetFile

FILE = ParquetFile("parquet/1/2/2025-01-01/1-a.parquet", 1, 2, 3, -4, 5, 6)
Damages = Callable[[bytes], Iterator[bytes]]


def _open(directory: Path) -> CatalogStore:
    return CatalogStore.open(LocalObjects(directory))


def _outcome(directory: Path) -> Catalog | str:
    """Open the catalog, or say why that is refused."""
    try:
        return _open(directory).catalog
    except CorruptCatalog as error:
        return str(error)


def _create(catalog: Catalog) -> Sequence[Change]:
    new = catalog.next_id
    table = CreateTable(new + 1, new, "cpu", ())
    return [CreateDatabase(new, f"db{new}", 9), table, AddFiles(new + 1, (FILE,), 7)]


def _three_commits(directory: Path) -> Catalog:
    store = _open(directory)
    for _ in range(3):
        store.update(_create)
    return store.catalog


def _flipped(content: bytes) -> Iterator[bytes]:
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= (0x01, 0x20, 0x80)[place % 3]
        yield bytes(damaged)


def _torn(content: bytes) -> Iterator[bytes]:
    yield from (content[:place] for place in range(len(content) - 1))


def _zeroed(content: bytes) -> Iterator[bytes]:
    for place in range(len(content) - 1):
        yield content[:place] + bytes(len(content) - place)


def _doubled(content: bytes) -> Iterator[bytes]:
    yield content + content
    yield content[:-1] + b"x"


EVERYWHERE = pytest.mark.parametrize("damages", [_flipped, _torn, _zeroed, _doubled])


@EVERYWHERE
@pytest.mark.parametrize("number", [1, 2, 3])
def test_damaged_commit_is_refused_by_name_or_harmless(
    tmp_path: Path, number: int, damages: Damages
) -> None:
    catalog = _three_commits(tmp_path)
    path = tmp_path / "catalog" / f"{number:020}.json"
    whole = path.read_bytes()
    refusals = []

    for damaged in damages(whole):
        path.write_bytes(damaged)
        outcome = _outcome(tmp_path)
        if isinstance(outcome, str):
            refusals.append(outcome)
        else:
            assert outcome == catalog

    assert len(refusals) > 0
    assert all(f"catalog/{path.name} is damaged" in text for text in refusals)
    assert all("restore the folder from a backup" in text for text in refusals)
    path.write_bytes(whole)
    assert _open(tmp_path).update(_create).number == 4


@EVERYWHERE
def test_damaged_newest_snapshot_is_passed_over(tmp_path: Path, damages: Damages) -> None:
    objects = LocalObjects(tmp_path)
    store = CatalogStore.open(objects)
    snapshots = Snapshots(store, objects)
    catalog = store.update(_create)
    snapshots.catch_up()
    path = tmp_path / "catalog-snapshots" / f"{1:020}.json"

    for damaged in damages(path.read_bytes()):
        path.write_bytes(damaged)
        assert _open(tmp_path).catalog == catalog
        assert not is_whole(damaged)

    again = _open(tmp_path).update(_create)
    assert _open(tmp_path).catalog == again


@EVERYWHERE
def test_damage_of_the_only_snapshot_is_refused_by_name_or_harmless(
    tmp_path: Path, damages: Damages
) -> None:
    catalog = _three_commits(tmp_path)
    (path,) = (tmp_path / "catalog-snapshots").iterdir()
    refusals = []

    for damaged in damages(path.read_bytes()):
        path.write_bytes(damaged)
        outcome = _outcome(tmp_path)
        if isinstance(outcome, str):
            refusals.append(outcome)
        else:
            assert outcome == catalog

    assert len(refusals) > 0
    assert all(f"catalog-snapshots/{path.name} is damaged" in text for text in refusals)


def _remove(path: Path) -> None:
    path.unlink()


def _copy_of_the_first(path: Path) -> None:
    path.write_bytes(path.with_name(f"{1:020}.json").read_bytes())


@pytest.mark.parametrize("damage", [_remove, _copy_of_the_first])
def test_missing_or_exchanged_commit_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    _three_commits(tmp_path)
    damage(tmp_path / "catalog" / f"{2:020}.json")

    with pytest.raises(CorruptCatalog, match=f"catalog/{2:020}.json"):
        _open(tmp_path)
