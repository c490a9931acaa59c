"""Copies of the own cache, through a real process."""

from __future__ import annotations

import pickle

from worker.wire import messages as m

WAL = m.WalRun("r1", ())
PUT = """
    import threading
    class Model:
        pass
    VALUES = {"plain": [1], "lock": threading.Lock(), "model": Model(), "large": b"x" * 2000}
    def process_writes(influxdb3_local, table_batches, args):
        for key in args["keys"].split():
            influxdb3_local.cache.put(key, VALUES[key], 1000 if args["ttl"] else None)
    def process_scheduled_call(influxdb3_local, call_time, args):
        for key in args["keys"].split():
            influxdb3_local.cache.get(key)
    def process_request(influxdb3_local, query, headers, body, args):
        exec(body, {"cache": influxdb3_local.cache, "warn": influxdb3_local.warn})
        return ""
    """
LOOK = m.ScheduledRun("r", 0)


def _unpickled(mirror: m.Mirror) -> object:
    return None if mirror.value is None else pickle.loads(mirror.value)  # noqa: S301 - our own


def _do(code: str) -> m.RequestRun:
    return m.RequestRun("r", {}, {}, code.encode())


def test_values_leave_when_they_can_and_their_loss_is_known_when_not(start_worker) -> None:  # noqa: ANN001
    keys = "plain lock model large"
    worker = start_worker(arguments={"keys": keys, "ttl": ""}, mirror_limit=1000)
    worker.greet()
    worker.load(PUT)

    worker.run(WAL)
    mirrors = {mirror.key: mirror for mirror in (worker.mirror() for _ in range(4))}

    assert {key: mirror.state for key, mirror in mirrors.items()} == {
        "plain": "stored",
        "lock": "live",
        "model": "live",
        "large": "live",
    }
    assert _unpickled(mirrors["plain"]) == [1]
    assert mirrors["plain"].expires_ns is None


def test_only_changes_are_sent(start_worker) -> None:  # noqa: ANN001
    worker = start_worker(arguments={})
    worker.greet()
    worker.load(PUT)

    for code in (
        "cache.put('a', [])",
        "cache.get('a')",
        "cache.put('a', [])",
        "cache.get('a').append(1)",
        "cache.put('a', [1], 1000)",
        "cache.delete('a'), cache.put('b', 1), cache.delete('b')",
        "cache.put('lone \\ud800', 1), cache.put('end', 1)",
    ):
        assert worker.run(_do(code)).result.fault is None
    mirrors = [worker.mirror() for _ in range(5)]

    assert [(mirror.key, mirror.state, _unpickled(mirror)) for mirror in mirrors] == [
        ("a", "stored", []),
        ("a", "stored", [1]),
        ("a", "stored", [1]),
        ("a", "deleted", None),
        ("end", "stored", 1),
    ]
    assert mirrors[2].expires_ns is not None


def test_a_new_worker_gets_its_values_back_when_it_asks(start_worker) -> None:  # noqa: ANN001
    worker = start_worker(arguments={})
    worker.greet(
        m.Restore("good", pickle.dumps({"a": 1}, pickle.HIGHEST_PROTOCOL), None),
        m.Restore("bad", b"no pickle", None),
        m.Restore("late", pickle.dumps(1), 1),
        m.Restore("unasked", b"no pickle", None),
    )
    worker.load(PUT)

    finished = worker.run(
        _do(
            "first = cache.get('good')\n"
            "warn(first, cache.get('good') is first, cache.get('bad', 'none'), cache.get('late'))"
        )
    )
    worker.run(_do("cache.put('end', 1)"))
    mirrors = [worker.mirror() for _ in range(3)]

    assert finished.result.fault is None
    assert worker.texts("WARN")[0].startswith("cache key 'bad' could not be restored: Unpickling")
    assert worker.texts("WARN")[1] == "{'a': 1} True none None"
    assert {(mirror.key, mirror.state) for mirror in mirrors} == {
        ("bad", "deleted"),
        ("late", "deleted"),
        ("end", "stored"),
    }


def test_an_instance_of_the_plugins_class_stays_by_reference(start_worker) -> None:  # noqa: ANN001
    worker = start_worker(arguments={"keys": "model", "ttl": "1"})
    worker.greet()
    worker.load(PUT)

    worker.run(WAL)
    live = worker.mirror()
    worker.run(_do("warn(type(cache.get('model')).__qualname__)"))

    assert (live.key, live.value, live.state) == ("model", None, "live")
    assert worker.texts("WARN") == ["Model"]
