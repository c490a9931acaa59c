"""Run installers behind the walls of a server, which is played by this file as a program.

So another user can play it, another level of the sandbox, and it can be killed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uv

from engine.environments.enclosed import EnclosedRun
from engine.environments.running import Command
from engine.environments.walls import Walls
from engine.errors import EngineError
from engine.model.limits import Limits
from engine.sandbox.egress import Egress
from engine.sandbox.sandbox import Sandbox
from tests.confined import ROOT, USER, why_no_ordinary_user

UV = uv.find_uv_bin()
SYSTEM_PYTHON = "/usr/bin/python3"
IS_ROOT = os.geteuid() == 0
READY = "ready"
_PACKAGES = str(Path(uv.__file__).parent.parent)


@dataclass
class Told:
    """What became of one program."""

    status: int
    output: str
    lines: list[str]
    error: str
    text: str


@dataclass
class Place:
    """Where a server keeps its files, who plays it, and how far it is confined.

    Args:
        folder: for all; `work` in it is what installers are given.
        user: who plays the server; None is who tests.
        mode: of the sandbox.
        bwrap: the program, or a path that is none.
        hosts: beside the index.
        variables: of the server.
        path: folders that are searched for modules before this checkout, each with a colon.
    """

    folder: Path
    user: int | None
    mode: str
    bwrap: str
    hosts: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    path: str = ""

    def __post_init__(self) -> None:
        self.python = SYSTEM_PYTHON if IS_ROOT else sys.executable
        self.work = self.folder / "given"
        self.work.mkdir()
        (self.folder / "other").mkdir()
        (self.folder / "other" / "secret").write_text("of another environment")
        if self.user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.user, self.user)

    def command(self, *argv: object, **more: Any) -> dict[str, Any]:  # noqa: ANN401  of Command
        """Return an order for one program, which may fill the work folder."""
        return {
            "argv": [str(word) for word in argv],
            "reads": [self.prefix, *more.pop("reads", ())],
            "writes": [str(self.work)],
            "variables": {"UV_CACHE_DIR": str(self.work / "cache"), **more.pop("variables", {})},
            **more,
        }

    @property
    def prefix(self) -> str:
        return "/usr" if IS_ROOT else sys.base_prefix

    def run(self, *commands: dict[str, Any], **more: object) -> list[Told]:
        """Run programs one after the other, until one fails."""
        server = self.start(*commands, **more)
        output, errors = server.communicate(timeout=100)
        assert server.returncode == 0, errors
        return [Told(**json.loads(line)) for line in output.splitlines() if line.startswith(b"{")]

    def start(self, *commands: dict[str, Any], **more: object) -> subprocess.Popen[bytes]:
        """Start a server; the caller ends and reaps it."""
        order = {"place": str(self.folder), "mode": self.mode, "bwrap": self.bwrap}
        order |= {"hosts": self.hosts, "commands": commands, **more}
        switch = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(order).encode())
            file.seek(0)
            return subprocess.Popen(
                [*(switch if self.user is not None else []), self.python, "-B", __file__],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={
                    "PYTHONPATH": f"{self.path}{ROOT}:{_PACKAGES}",
                    "SECRET": "of us",
                    **self.variables,
                },
            )


def why_not(user: int | None, mode: str, bwrap: str) -> str:
    """Return why a server cannot be played so here, empty when it can."""
    if user == USER and not IS_ROOT:
        return "the tests do not run as root"
    reason = why_no_ordinary_user(SYSTEM_PYTHON) if IS_ROOT else ""
    if not reason and mode != "off" and bwrap and not shutil.which(bwrap):
        reason = "bubblewrap is not installed"
    return reason


def main() -> None:
    """Play the server: the order stands on the standard input, outcomes go to the output."""
    order = json.load(sys.stdin)
    egress = Egress(lambda _, text: print(text, file=sys.stderr))  # noqa: T201
    egress.start()
    sandbox = Sandbox(order["mode"], order["place"], order["bwrap"], egress)
    sandbox.open()
    walls = Walls(sandbox, Path(order["place"]) / "scratch")
    limits = Limits(memory_bytes=order.get("memory_mib", 1024) << 20, processes=256)
    run = EnclosedRun(walls, order["hosts"], limits)
    try:
        for each in order["commands"]:
            told = _told(run, _command(each), is_stopping=order.get("stops", False))
            print(json.dumps(asdict(told)), flush=True)  # noqa: T201
            if told.status or told.error:
                break
    finally:
        egress.stop()
        sandbox.close()


def _command(order: Mapping[str, Any]) -> Command:
    paths = {name: tuple(map(Path, order.get(name, ()))) for name in ("reads", "writes")}
    cwd = Path(order["cwd"]) if "cwd" in order else None
    return Command(**{**order, "argv": tuple(order["argv"]), "cwd": cwd, **paths})


def _told(run: EnclosedRun, command: Command, *, is_stopping: bool) -> Told:
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        if line == READY:
            print(READY, flush=True)  # noqa: T201
        if line == READY and is_stopping:
            run.stop()

    try:
        finished = run(command, take)
    except EngineError as error:
        return Told(0, "", lines, type(error).__name__, str(error))
    return Told(finished.status, finished.output, lines, "", "")


if __name__ == "__main__":
    main()
