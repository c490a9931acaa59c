from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog.change import (
    AddColumns,
    AddFiles,
    AddLock,
    Change,
    ConfineTrigger,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    PinEnvironment,
    PurgeDatabase,
    PurgeTable,
    ReplaceFiles,
    RequireTrigger,
    SetPersisted,
    SetRetention,
    TrashDatabase,
    TrashTable,
    UnpinEnvironment,
)
from engine.catalog.codec import (
    FORMAT,
    decode_commit,
    decode_snapshot,
    encode_commit,
    encode_snapshot,
)
from engine.catalog.fold import apply, apply_all
from engine.catalog.state import Catalog, Table, Trashed
from engine.catalog.trigger_codec import decode_trigger, encode_trigger
from engine.model.file import ParquetFile
from engine.model.grants import Grants, parse_grants
from engine.model.limits import Limits
from engine.model.lock import SHARED, Asked, Reason, lock_of
from engine.model.schema import Column, ColumnType
from engine.model.trigger import (
    AllTablesSpec,
    CatchUp,
    CronSpec,
    ErrorBehavior,
    EverySpec,
    OnLag,
    RequestSpec,
    TableSpec,
    Trigger,
    TriggerSettings,
)

EMPTY = Catalog.empty("u")
COMMIT = (CreateDatabase(1, "db", 5), CreateTable(2, 1, "cpu", (Column("h", ColumnType.TAG),)))

# Random histories: every step draws a change that fits the catalog so far.

_TEXT = st.text(min_size=1, max_size=8)
_COLUMNS = st.lists(
    st.builds(
        Column,
        _TEXT.map(lambda text: f"c{text}"),
        st.sampled_from([t for t in ColumnType if t is not ColumnType.TIME]),
    ),
    max_size=4,
    unique_by=lambda column: column.name,
).map(tuple)
_SPECS = st.one_of(
    st.just(AllTablesSpec()),
    st.builds(TableSpec, _TEXT),
    st.just(CronSpec("0 * * * * *")),
    st.builds(EverySpec, st.integers(1, 10**15)),
)
_GRANTS = st.sampled_from([["net=self"], ["env=A", "read=/a"], []]).map(parse_grants)
_LIMITS = st.builds(
    Limits,
    cpu=st.none() | st.floats(0.05, 1024),
    time_s=st.none() | st.integers(1, 86_400_000).map(lambda ms: ms / 1000),
)
_SETTINGS = st.builds(
    TriggerSettings,
    st.booleans(),
    st.sampled_from(ErrorBehavior),
    st.sampled_from(CatchUp),
    _LIMITS,
    st.lists(_TEXT, max_size=2).map(tuple),
    st.sampled_from(OnLag),
    _GRANTS,
    st.lists(_TEXT, max_size=2).map(tuple),
)
_LOCKS = [lock_of("3.11", "linux-x86_64", f"adtk=={n}\n") for n in range(4)]
_ASKED = st.builds(Asked, st.lists(_TEXT, max_size=2).map(tuple), st.sampled_from(["", ">=3.11"]))
_ARGUMENTS = st.none() | st.dictionaries(_TEXT, _TEXT, max_size=3)
_RETENTION = st.none() | st.integers(1, 10**18)
_TIMES = st.integers(-(2**63), 2**63 - 1)
_FILES = st.lists(
    st.builds(
        ParquetFile,
        st.uuids().map(lambda uuid: f"parquet/1/2/2025-01-01/{uuid}.parquet"),
        st.integers(1, 2**40),
        st.integers(1, 2**50),
        st.integers(0, 2**32 - 1),
        _TIMES,
        _TIMES,
        st.integers(0, 2**62),
    ),
    max_size=3,
    unique_by=lambda file: file.path,
).map(tuple)


@st.composite
def _new_trigger(draw: st.DrawFn, catalog: Catalog) -> Change:
    trigger_id = catalog.next_id
    request = st.just(RequestSpec(f"path{trigger_id}"))
    return CreateTrigger(
        Trigger(
            id=trigger_id,
            database_id=draw(st.sampled_from([d.id for d in catalog.databases.values()])),
            name=f"{draw(_TEXT)}{trigger_id}",
            plugin=draw(_TEXT),
            spec=draw(_SPECS | request),
            settings=draw(_SETTINGS),
            arguments=draw(_ARGUMENTS),
            disabled=draw(st.booleans()),
            start=draw(st.integers(0, 2**62)),
        )
    )


def _fitting(catalog: Catalog) -> st.SearchStrategy[Change]:
    fresh = catalog.next_id
    database_ids = st.sampled_from([d.id for d in catalog.databases.values()])
    tables = [t for d in catalog.databases.values() for t in d.tables.values()]
    options: list[st.SearchStrategy[Change]] = [
        st.builds(CreateDatabase, st.just(fresh), st.just(f"db{fresh}"), _RETENTION),
        st.builds(CreateTable, st.just(fresh), database_ids, st.just(f"t{fresh}"), _COLUMNS),
        _new_trigger(catalog),
    ]
    if tables:
        added = st.just((Column(f"new{fresh}-{len(tables)}", ColumnType.STRING),))
        growable = [t.id for t in tables if t.schema.type_of(f"new{fresh}-{len(tables)}") is None]
        if growable:
            options.append(st.builds(AddColumns, st.sampled_from(growable), added))
    if catalog.triggers:
        ids = st.sampled_from(list(catalog.triggers))
        options += [
            st.builds(EnableTrigger, ids, st.integers(0, 99)),
            st.builds(DisableTrigger, ids),
            st.builds(ConfineTrigger, ids, _GRANTS, _LIMITS),
            st.builds(RequireTrigger, ids, st.lists(_TEXT, max_size=2).map(tuple)),
            st.builds(DeleteTrigger, ids),
        ]
    user_ids = [d.id for d in catalog.databases.values() if d.id]
    if user_ids:
        options.append(st.builds(SetRetention, st.sampled_from(user_ids), _RETENTION))
    options.append(st.integers(catalog.persisted_to, 2**62).map(SetPersisted))
    options += _pin_changes(catalog)
    return st.one_of([*options, *_file_changes(catalog), *_trash_changes(catalog)])


def _pin_changes(catalog: Catalog) -> Iterator[st.SearchStrategy[Change]]:
    for lock in _LOCKS:
        if lock.id not in catalog.locks:
            yield st.just(AddLock(lock))
    if catalog.locks:
        owners = st.sampled_from([SHARED, *catalog.triggers])
        locks = st.sampled_from(list(catalog.locks))
        reasons = st.sampled_from(Reason)
        yield st.builds(PinEnvironment, owners, _ASKED, locks, st.integers(0, 2**62), reasons)
    if catalog.pins:
        yield st.sampled_from(list(catalog.pins)).map(UnpinEnvironment)


def _file_changes(catalog: Catalog) -> Iterator[st.SearchStrategy[Change]]:
    for number in range(catalog.next_id):
        table = catalog.table_by_id(number)
        if table is not None:
            end = st.integers(table.persisted_to, 2**62)
            yield st.builds(AddFiles, st.just(number), _FILES, end)
            removed = st.sampled_from(
                [tuple(f.path for f in table.files[:n]) for n in range(len(table.files) + 1)]
            )
            yield st.builds(ReplaceFiles, st.just(number), removed, _FILES)


def _trash_changes(catalog: Catalog) -> Iterator[st.SearchStrategy[Change]]:
    for database in catalog.databases.values():
        if database.id and not catalog.triggers_of(database.id):
            yield _trashing(TrashDatabase, database.id, database.name)
        for table in database.tables.values():
            yield _trashing(TrashTable, table.id, table.name)
    for number, trashed in catalog.trash.items():
        yield st.just((PurgeTable if isinstance(trashed.object, Table) else PurgeDatabase)(number))
        yield _postponing(number, trashed)


def _trashing(
    kind: type[TrashDatabase | TrashTable], number: int, name: str
) -> st.SearchStrategy[Change]:
    return st.builds(kind, st.just(number), st.just(f"{name}-gone"), st.just(name), _RETENTION)


def _postponing(number: int, trashed: Trashed) -> st.SearchStrategy[Change]:
    kind = TrashTable if isinstance(trashed.object, Table) else TrashDatabase
    fixed = (st.just(number), st.just(trashed.name), st.just(trashed.original))
    return st.builds(kind, *fixed, _RETENTION)


@st.composite
def _histories(draw: st.DrawFn) -> tuple[Catalog, Sequence[Change]]:
    catalog, changes = EMPTY, []
    for _ in range(draw(st.integers(0, 12))):
        changes.append(draw(_fitting(catalog)))
        catalog = apply(catalog, changes[-1])
    return replace(catalog, number=7), changes


@settings(max_examples=25)
@given(_histories())
def test_history_reads_back_from_json(history: tuple[Catalog, Sequence[Change]]) -> None:
    catalog, changes = history

    number, read = decode_commit(encode_commit(7, changes))

    assert (number, list(read)) == (7, changes)
    assert apply_all(EMPTY, read, 7) == catalog


@settings(max_examples=25)
@given(_histories())
def test_catalog_reads_back_from_its_snapshot(
    history: tuple[Catalog, Sequence[Change]],
) -> None:
    catalog, _ = history

    read = decode_snapshot(encode_snapshot(catalog))

    assert read == catalog
    assert list(read.databases) == list(catalog.databases)
    for number in range(catalog.next_id):
        assert read.table_by_id(number) == catalog.table_by_id(number)
        assert read.is_live(number) == catalog.is_live(number)
        assert read.triggers_of(number) == catalog.triggers_of(number)


@given(st.binary(max_size=60))
def test_garbage_is_no_commit(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_commit(garbage)


@given(st.data())
def test_any_flipped_bit_is_noticed_or_does_no_harm(data: st.DataObject) -> None:
    sealed = encode_commit(7, COMMIT)
    place = data.draw(st.integers(0, len(sealed) - 1))
    damaged = bytearray(sealed)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))

    try:
        read: object = decode_commit(bytes(damaged))
    except ValueError:
        read = None

    assert read in (None, (7, COMMIT))


def test_newer_format_is_named() -> None:
    newer = encode_commit(1, COMMIT).replace(b'"format":1', b'"format":2')

    with pytest.raises(ValueError, match=f"written in format 2.* up to {FORMAT}"):
        decode_commit(newer)


# As written before triggers had `catch_up`, limits, `cors`, `on_lag`, grants and requirements.
OLD_COMMIT = (
    b'{"format":1,"crc32":"a6e12d7c","content":{"changes":[{"change":"create_trigger","trigger":'
    b'{"arguments":{"a":"1"},"database_id":1,"disabled":false,"error_behavior":"retry","id":4,'
    b'"name":"t","plugin":"p.py","run_async":true,"spec":{"schedule":{"schedule":"0 * * * * *"}},'
    b'"start":9}}],"number":3}}\n'
)


def test_a_trigger_of_an_earlier_version_gets_the_defaults_of_later_settings() -> None:
    number, changes = decode_commit(OLD_COMMIT)

    trigger = Trigger(
        id=4,
        database_id=1,
        name="t",
        plugin="p.py",
        spec=CronSpec("0 * * * * *"),
        settings=TriggerSettings(True, ErrorBehavior.RETRY, CatchUp.ONE, Limits(), ("*",)),
        arguments={"a": "1"},
        disabled=False,
        start=9,
    )
    assert (number, changes) == (3, (CreateTrigger(trigger),))


@pytest.mark.parametrize(
    ("before_s", "time_s"), [(90.0, 90.0), (2, 2.0), (0.0001, 0.001), (None, None)]
)
def test_the_time_limit_of_an_earlier_version_is_a_limit(
    before_s: float | None, time_s: float | None
) -> None:
    _, (change,) = decode_commit(OLD_COMMIT)
    assert isinstance(change, CreateTrigger)
    written = encode_trigger(change.trigger)
    del written["limits"], written["grants"]

    read = decode_trigger({**written, "time_limit_s": before_s})

    assert read.settings.limits == Limits(time_s=time_s)
    assert read.settings.grants == Grants()


@pytest.mark.parametrize(
    "wrong", [{"limits": {"speed": 1}}, {"grants": ["root"]}, {"grants": "env=A"}, {"limits": 3}]
)
def test_wrong_limits_and_grants_are_no_trigger(wrong: dict[str, object]) -> None:
    _, (change,) = decode_commit(OLD_COMMIT)
    assert isinstance(change, CreateTrigger)

    with pytest.raises(ValueError, match=r"grant|limit"):
        decode_trigger({**encode_trigger(change.trigger), **wrong})
