"""A real server with a victim in it, and one attack after the other run against them.

An attack has a trigger and so a worker of its own. While it runs, the server's memory is watched;
afterwards its trigger is deleted, and what can only be seen from outside is looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.escape.attacks.catalog import SECRET, Attack, World
from tests.escape.surroundings import Surroundings
from tests.escape.victim import STATE
from tests.serving import Answer, Server, eventually

HERE = Path(__file__).parent
ATTACKS = HERE / "attacks"
TRIGGERS = "/api/v3/configure/processing_engine_trigger"
ENGINE = "/api/v3/engine/"
VICTIM = "victim"
LOOK_EVERY_S = 0.02
NUMBER = re.compile(r"/(\d+)-[^/]*/0$")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attack ended.

    Args:
        escaped: it did what a safe engine does not let it do.
        how: what it did, or what became of it.
        is_broken: it shows nothing, because the attack itself or the engine failed.
    """

    escaped: bool
    how: str
    is_broken: bool = False


@dataclass(slots=True)
class Round:
    """One attack in progress."""

    name: str
    attack: Attack
    mark: str
    grown_bytes: int = 0
    answer: Answer | None = None
    before: dict[str, bytes] = field(default_factory=dict)

    @property
    def trigger(self) -> str:
        return f"a_{self.name}"


class Arena:
    """A server, its victim, and their surroundings."""

    def __init__(self, server: Server, around: Surroundings, mode: str) -> None:
        self.server = server
        self.around = around
        self.mode = mode
        self.victim_code = (HERE / "victim.py").read_text()
        self._facts: dict[str, object] = {}

    def furnish(self) -> None:
        """Make the database, the victim and the plugin folder of the attackers."""
        self.server.create_database("db")
        self.add(VICTIM, "victim.py", {})
        answer = self.ask(VICTIM)
        assert answer.status == 200, (answer.text, self.server.output[-20:])
        [state] = self.around.folder.rglob("victim-state.txt")
        self._facts = {
            "outside": str(self.around.outside),
            "secret": str(self.around.secret),
            "data_dir": str(self.server.data),
            "plugin_dir": str(self.server.plugins),
            "runtime_dir": str(self.server.data / "runtime"),
            "victim_code": str(self.server.plugins / "victim.py"),
            "victim_state": str(state),
            "server_pid": self.server.pid,
            "http_port": urlsplit(self.server.url).port,
            "tcp_port": self.around.tcp.getsockname()[1],
            "udp_port": self.around.udp.getsockname()[1],
            "unix_path": self.around.unix_path,
            "abstract_name": self.around.abstract_name,
            "shm_name": self.around.shm.name,
            "sysv_key": self.around.sysv_key,
            "memory_file": f"/proc/{os.getpid()}/fd/{self.around.memory}",
        }

    def _victim(self) -> dict[str, object]:
        """Find the victim's worker."""
        assert eventually(lambda: self.ask(VICTIM).status == 200)
        # The first trigger of all; its folder is named by its number.
        endpoint = min(_endpoints(self.server.pid), key=lambda path: int(NUMBER.findall(path)[0]))
        workers = [one for one in self.server.workers() if one.name().startswith("python")]
        return {
            "victim_endpoint": endpoint,
            "victim_pid": min(workers, key=lambda one: one.create_time()).pid,
        }

    def add(self, name: str, plugin: str, settings: dict[str, object], **arguments: str) -> None:
        """Create a trigger."""
        answer = self.server.post_json(
            TRIGGERS,
            {
                "db": "db",
                "trigger_name": name,
                "trigger_specification": f"request:{name}",
                "plugin_filename": plugin,
                "trigger_settings": {"run_async": False, "error_behavior": "log", **settings},
                "trigger_arguments": arguments,
                "disabled": False,
            },
        )
        assert answer.status == 200, answer.text

    def ask(self, trigger: str, **params: object) -> Answer:
        return self.server.request("GET", ENGINE + trigger, **params)

    def restart(self, trigger: str) -> None:
        """Give a trigger a new worker."""
        for change in ("disable", "enable"):
            answer = self.server.request(
                "POST", f"{TRIGGERS}/{change}", db="db", trigger_name=trigger
            )
            assert answer.status == 200, answer.text

    def remove(self, trigger: str) -> None:
        self.server.request("DELETE", TRIGGERS, db="db", trigger_name=trigger, force="true")

    def run(self, name: str, attack: Attack) -> Round:
        """Run an attack, and return before its trigger is removed."""
        mark = f"esc{secrets.token_hex(5)}"
        played = Round(name, attack, mark, before=self.around.holdings())
        settings: dict[str, object] = {"limits": dict(attack.limits)} if attack.limits else {}
        if attack.grants and self.mode != "off":
            settings["grants"] = list(attack.grants)
        facts = {**self._facts, **self._victim(), "mark": mark}
        world = World(**facts)  # type: ignore[arg-type]
        self.add(played.trigger, "attacks", settings, attack=name, world=json.dumps(asdict(world)))
        with _watched(self.server.pid, played):
            try:
                played.answer = self.ask(played.trigger)
            except (OSError, HTTPException):  # the server has ended, or does not answer
                played.answer = None
        return played

    def level(self) -> str:
        """Return the level of the sandbox that the server reports."""
        rows = self.server.sql("db", "SELECT DISTINCT level FROM system.processing_engine_sandbox")
        return str(rows[0]["level"])

    def victim_is_well(self) -> str | None:
        """Return what is wrong with the victim."""
        answer = self.ask(VICTIM)
        if answer.status != 200:
            return f"the victim answers {answer.status}: {answer.text[:100]}"
        found = answer.json()
        if found["planted"]:
            return f"foreign code ran in the victim: {found['planted']}"
        if found["state"] != STATE or found["cached"] not in (STATE, "None"):
            Path(str(self._facts["victim_state"])).write_text(STATE)
            return "the victim's state was changed"
        if (self.server.plugins / "victim.py").read_text() != self.victim_code:
            (self.server.plugins / "victim.py").write_text(self.victim_code)
            return "the victim's code was changed"
        return None

    def processes(self, mark: str) -> list[psutil.Process]:
        """Return the processes, or threads of them, that wear a mark."""
        return [one for one in psutil.process_iter() if _wears(one, mark)]


def _wears(process: psutil.Process, mark: str) -> bool:
    try:
        tasks = Path(f"/proc/{process.pid}/task")
        return any((task / "comm").read_text().strip() == mark for task in tasks.iterdir())
    except OSError:
        return False


@contextlib.contextmanager
def _watched(pid: int, played: Round) -> Iterator[None]:
    """Note by how much a process grows."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    is_over = threading.Event()

    def look() -> None:
        with contextlib.suppress(psutil.Error):
            while not is_over.wait(LOOK_EVERY_S):
                grown = process.memory_info().rss - before
                played.grown_bytes = max(played.grown_bytes, grown)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _endpoints(server_pid: int) -> list[str]:
    """Return where a server listens for the first lanes of its workers."""
    found = psutil.Process(server_pid).net_connections("unix")
    paths = {str(one.laddr) for one in found if one.status != "ESTABLISHED"}
    return [path for path in paths if NUMBER.search(path)]


def _closed_above(path: Path) -> bool:
    return any(not parent.stat().st_mode & 0o001 for parent in path.parents)


def as_user(uid: int) -> list[str]:
    """Return what to put before a command so that it runs as an ordinary user."""
    import sys  # noqa: PLC0415  only here

    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix), HERE.parent.parent}
    paths = [str(path) for path in sorted(needed) if _closed_above(path)]
    script = ["sh", str(HERE / "as_user.sh"), str(uid), *paths, "--"]
    return ["unshare", "--mount", "--propagation", "private", *script]


@contextlib.contextmanager
def arena(mode: str, uid: int | None = None, *options: str) -> Iterator[Arena]:
    """Run a server with a victim until the end of the block."""
    with Surroundings() as around:
        place = around.folder / "home"
        server = Server(place, "--sandbox", mode, "--verbose", *options)
        server.environment = {"ESCAPE": f"{SECRET} the environment", "HOME": str(place)}
        shutil.copytree(ATTACKS, server.plugins / "attacks", ignore=_only_code)
        (server.plugins / "attacks" / "entry.py").rename(server.plugins / "attacks/__init__.py")
        shutil.copy(HERE / "victim.py", server.plugins)
        (server.plugins / "beside.toml").write_text("answer = 42\n")
        if uid is not None:
            server.prefix = as_user(uid)
            for path in (place, *place.rglob("*")):
                os.chown(path, uid, uid)
        try:
            server.start()
            ready = Arena(server, around, mode)
            ready.furnish()
            yield ready
        finally:
            with contextlib.suppress(AssertionError):
                server.close()


def _only_code(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py")]


def can_connect(port: int) -> bool:
    """Whether somebody listens at a port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


__all__ = ["Arena", "Round", "Verdict", "arena", "can_connect", "eventually"]
