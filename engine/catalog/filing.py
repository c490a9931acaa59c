"""Decisions about files: where the rows of tables are on disk, and how far they are there.

A table may have been purged while its rows were being written; then nothing is decided, and
whoever wrote the files finds that the catalog does not name them.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.catalog.change import AddFiles, Change, Decide, ReplaceFiles, SetPersisted
from engine.catalog.state import Catalog
from engine.model.file import ParquetFile

__all__ = ["add_files", "replace_files", "set_persisted"]


def add_files(table_id: int, files: Sequence[ParquetFile], persisted_to: int) -> Decide:
    """Decide that a table's rows in log entries below `persisted_to` are in files.

    Args:
        table_id: be it in the trash; nothing is decided when it is gone.
        files: those that come in addition; may be none.
        persisted_to: not below what it was.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        table = catalog.table_by_id(table_id)
        if table is None or (not files and persisted_to == table.persisted_to):
            return []
        return [AddFiles(table_id, tuple(files), persisted_to)]

    return decide


def replace_files(table_id: int, removed: Sequence[str], added: Sequence[ParquetFile]) -> Decide:
    """Decide that files of a table give way to others.

    Args:
        table_id: be it in the trash; nothing is decided when it is gone.
        removed: paths; nothing is decided when the table has not all of them any more.
        added: files with the same rows, or fewer where rows are past their retention.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        table = catalog.table_by_id(table_id)
        if table is None or not (removed or added):
            return []
        if not {file.path for file in table.files}.issuperset(removed):
            return []
        return [ReplaceFiles(table_id, tuple(removed), tuple(added))]

    return decide


def set_persisted(to: int) -> Decide:
    """Decide that rows of all tables in log entries below `to` are in files; it never falls."""

    def decide(catalog: Catalog) -> Sequence[Change]:
        return [SetPersisted(to)] if to > catalog.persisted_to else []

    return decide
