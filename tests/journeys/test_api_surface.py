"""What there is of `influxdb3_local`, and its logging, through a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.probing import Probe
from tests.serving import Server, eventually, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("surface")) as running:
        running.create_database("db")
        yield running


@pytest.fixture(scope="module")
def probe(server: Server) -> Probe:
    return Probe.add(server)


# --- what is there


def test_exactly_the_documented_names_are_there(probe: Probe) -> None:
    names = probe.value("sorted(n for n in dir(influxdb3_local) if not n.startswith('_'))")

    assert names == [
        "cache",
        "error",
        "info",
        "query",
        "warn",
        "write",
        "write_sync",
        "write_sync_to_db",
        "write_to_db",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "influxdb3_local.mine = 1",
        "influxdb3_local.cache = None",
        "influxdb3_local.info = print",
        "influxdb3_local.debug('x')",
        "influxdb3_local.warning('x')",
    ],
)
def test_nothing_can_be_set_and_nothing_else_called(probe: Probe, code: str) -> None:
    assert probe.raised(code)[0] == "AttributeError"


@pytest.mark.parametrize(
    "module", ["influxdb3_local", "influxdb3_py_api", "worker", "engine", "zmq", "msgpack"]
)
def test_nothing_of_ours_can_be_imported(probe: Probe, module: str) -> None:
    assert probe.raised(f"import {module}")[0] == "ModuleNotFoundError"


# --- logging


@pytest.mark.parametrize("level", ["info", "warn", "error"])
def test_a_log_line_has_its_level_and_its_arguments_as_text(
    server: Server, probe: Probe, level: str
) -> None:
    assert probe.value(f"influxdb3_local.{level}('{level}', 1, None, [2.5], {{'a': 'b'}})") is None

    assert f"{level} 1 None [2.5] {{'a': 'b'}}" in server.logs("db", "probe", level.upper())


def test_a_log_line_may_be_empty_and_takes_no_names(server: Server, probe: Probe) -> None:
    probe.run("influxdb3_local.warn()")

    assert "" in server.logs("db", "probe", "WARN")
    name, text = probe.raised("influxdb3_local.info(text='x')")
    assert (name, text.split("()")[-1]) == (
        "TypeError",
        " got an unexpected keyword argument 'text'",
    )


def test_log_lines_go_to_the_servers_log_as_well(server: Server, probe: Probe) -> None:
    probe.run("influxdb3_local.error('seen by the operator')")

    said = "processing engine: seen by the operator"
    assert eventually(lambda: any(said in each for each in server.output))


# --- the cache


def test_the_cache_has_exactly_the_documented_names(probe: Probe) -> None:
    names = probe.value("sorted(n for n in dir(influxdb3_local.cache) if not n.startswith('_'))")

    assert names == ["delete", "get", "put"]


def test_arguments_of_the_cache_stand_or_are_named(probe: Probe) -> None:
    seen = probe.run(
        """
        cache = influxdb3_local.cache
        result = [
            cache.put("a", 1), cache.put("b", 2, 3600), cache.put("c", 3, None, False),
            cache.put(use_global=True, ttl=60.5, value=4, key="d"),
            cache.get("a"), cache.get("b", 0), cache.get("c", None, False), cache.get("d", 0, True),
            cache.get(use_global=True, default=5, key="a"), cache.get(key="a", use_global=None),
            cache.delete("a"), cache.delete("d", True), cache.delete(use_global=False, key="a"),
        ]
        """
    )

    assert seen == [None, None, None, None, 1, 2, 3, 4, 5, 1, True, True, False]


@pytest.mark.parametrize("where", ["False", "True"])
@pytest.mark.parametrize(
    ("call", "name", "text"),
    [
        (
            "put('k', 1, -0.1, {})",
            "ValueError",
            "cannot convert float seconds to Duration: value is negative",
        ),
        (
            "put('k', 1, float('nan'), {})",
            "ValueError",
            "cannot convert float seconds to Duration: value is either too big or NaN",
        ),
        (
            "put('k', 1, 1e300, {})",
            "ValueError",
            "cannot convert float seconds to Duration: value is either too big or NaN",
        ),
        ("put('k', 1, '5', {})", "TypeError", "argument 'ttl': must be real number, not str"),
        (
            "put(1, 1, None, {})",
            "TypeError",
            "argument 'key': 'int' object is not an instance of 'str'",
        ),
        (
            "get(None, 1, {})",
            "TypeError",
            "argument 'key': 'NoneType' object is not an instance of 'str'",
        ),
        (
            "delete(b'k', {})",
            "TypeError",
            "argument 'key': 'bytes' object is not an instance of 'str'",
        ),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    probe: Probe, where: str, call: str, name: str, text: str
) -> None:
    probe.run(f"influxdb3_local.cache.put('k', 'old', None, {where})")

    assert probe.raised(f"influxdb3_local.cache.{call.format(where)}") == (name, text)

    assert probe.value(f"influxdb3_local.cache.get('k', None, {where})") == "old"


@pytest.mark.parametrize("where", ["False", "True"])
def test_a_value_of_no_seconds_is_gone_but_can_still_be_deleted(probe: Probe, where: str) -> None:
    seen = probe.run(
        f"""
        cache = influxdb3_local.cache
        cache.put("z", 1, 0, {where})
        result = [cache.delete("z", {where}), cache.delete("z", {where})]
        cache.put("z", 1, 0, {where})
        result += [cache.get("z", "default", {where}), cache.delete("z", {where})]
        cache.put("z", 1, 0, {where})
        cache.put("z", 2, use_global={where})
        result += [cache.get("z", "default", {where})]
        """
    )

    assert seen == [True, False, "default", False, 2]


@pytest.mark.parametrize("where", ["False", "True"])
def test_a_stored_none_is_none(probe: Probe, where: str) -> None:
    probe.run(f"influxdb3_local.cache.put('none', None, use_global={where})")

    assert probe.value(f"influxdb3_local.cache.get('none', 5, {where})") is None


def test_an_own_value_is_the_very_object_in_every_run(probe: Probe) -> None:
    probe.run(
        """
        import threading
        class Model:
            pass
        model = Model()
        model.lock, model.seen = threading.Lock(), []
        influxdb3_local.cache.put("model", model)
        result = influxdb3_local.cache.get("model") is model
        """
    )
    for count in range(3):
        probe.run(f"influxdb3_local.cache.get('model').seen.append({count})")

    seen = probe.run("m = influxdb3_local.cache.get('model'); result = [m.seen, m.lock.locked()]")

    assert seen == [[0, 1, 2], False]


def test_the_two_namespaces_are_apart_and_the_global_one_is_shared(server: Server) -> None:
    server.create_database("other")
    here, there = Probe.add(server, "db", "here"), Probe.add(server, "other", "there")
    here.run(
        """
        influxdb3_local.cache.put("both", "own")
        influxdb3_local.cache.put("both", {"shared": [1, (2, b"3")]}, use_global=True)
        """
    )

    assert there.value("influxdb3_local.cache.get('both')") is None
    shared = there.value("repr(influxdb3_local.cache.get('both', use_global=True))")
    assert shared == "{'shared': [1, (2, b'3')]}"
    assert here.value("influxdb3_local.cache.get('both')") == "own"


def test_the_global_cache_names_what_it_cannot_take(probe: Probe) -> None:
    name, text = probe.raised("influxdb3_local.cache.put('k', [object()], use_global=True)")

    assert name == "TypeError"
    assert text.endswith("not builtins.object")
