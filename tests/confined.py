"""Run a few lines of Python behind the sandbox, as root or as an ordinary user.

The server that starts the worker, with the real Launcher, is the process that tests. Where another
user is asked for, or the server is to be killed, it is this file, started again as a program: it
tells how the worker ended and what it printed. The worker is our bootstrap in small: it drops its
identity, restricts itself when told so, and runs the lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.sandbox.launch import Launcher, SandboxUnavailable, Start
from engine.sandbox.policy import Layers, Policy, ViewEntry, landlock_rules

ROOT = Path(__file__).parent.parent
BWRAP = "/usr/bin/bwrap"
USER = 12_345
OWN_UID = 0x7000_0007
NAMESPACES = Layers(bwrap=BWRAP)
# The oldest there is; with bubblewrap alone the lines show what namespaces do by themselves.
LANDLOCK = Layers(landlock_abi=1)

# What lines may begin with: `fails` returns why the system refuses something, or `done`.
TRY = """
import json, os
def fails(act):
    try:
        act()
    except OSError as error:
        return error.strerror
    return "done"
"""

_BOOTSTRAP = """\
import json, os, sys
with os.fdopen(int(sys.argv[-1]), closefd=True) as file:
    told = json.load(file)
from worker import confine
from worker.process import await_admission
await_admission()
confine.limit([tuple(limit) for limit in told["rlimits"]])
confine.become(told["uid"], told["uid"], [tuple(limit) for limit in told["tmp"]])
if told["rules"] is not None:
    confine.restrict([tuple(rule) for rule in told["rules"]], None, True)
os.chdir(told["plugin_dir"])
exec(compile(told["lines"], "lines", "exec"), {"__name__": "plugin"})
"""


@dataclass
class Outcome:
    """How a worker ended.

    Args:
        status: of the process, as Popen tells it.
        output: what it printed.
        arguments: of all processes that there were, as /proc shows them.
        refusal: why it was not started, empty when it was.
    """

    status: int | None
    output: str
    arguments: list[str] = field(default_factory=list)
    refusal: str = ""

    def json(self) -> Any:  # noqa: ANN401  whatever the lines print
        """Return what it printed as a value."""
        try:
            return json.loads(self.output)
        except ValueError:
            raise AssertionError(f"no JSON: {self}") from None


@dataclass
class Confined:
    """A place with all folders of a worker.

    Args:
        folder: holds them all.
        user: who plays the server; None is the one who tests.
        interpreter: the Python of driver and worker.
    """

    folder: Path
    user: int | None
    interpreter: str

    def __post_init__(self) -> None:
        self.plugins = self.folder / "plugins"
        self.policy = Policy(
            trigger_id=7,
            uid=OWN_UID if self.user is None and os.geteuid() == 0 else None,
            plugin_dir=str(self.plugins),
            private_dir=str(self.folder / "node" / "private" / "7"),
            sockets_dir=str(self.folder / "sockets" / "7"),
            runtime_dir=str(self.folder / "runtime"),
            environment_dir=str(self.plugins / ".venv"),
            prefixes=(_prefix(self.interpreter),),
            view=(ViewEntry("alert.py", str(self.plugins / "alert.py")),),
            variables={"PLUGIN_VARIABLE": "given"},
        )
        (self.plugins / ".venv").mkdir(parents=True)
        (self.plugins / "alert.py").write_text("the plugin")
        (self.plugins / "other.py").write_text("somebody else's")
        (self.folder / "sockets" / "7").mkdir(parents=True)
        (self.folder / "sockets" / "8").mkdir()
        (self.folder / "node" / "wal").mkdir(parents=True)
        runtime = self.folder / "runtime"
        shutil.copytree(ROOT / "worker", runtime / "worker")
        (runtime / "__main__.py").write_text(_BOOTSTRAP)
        if self.user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.user, self.user)

    def run(
        self,
        lines: str,
        policy: Policy | None = None,
        layers: Layers = NAMESPACES,
        **more: object,
    ) -> Outcome:
        """Run lines in a worker to its end."""
        if self.user is None:
            order = {"lines": lines, "interpreter": self.interpreter, **more}
            return _outcome(policy or self.policy, layers, order)
        driver = self.start(lines, policy, layers, **more)
        output, _ = driver.communicate(timeout=30)
        assert driver.returncode == 0, output
        return Outcome(**json.loads(output))

    def start(
        self,
        lines: str,
        policy: Policy | None = None,
        layers: Layers = NAMESPACES,
        **more: object,
    ) -> subprocess.Popen[bytes]:
        """Start a server that starts a worker; the caller ends and reaps it."""
        order = {"policy": asdict(policy or self.policy), "layers": asdict(layers), "lines": lines}
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(order | more).encode())
            file.seek(0)
            return subprocess.Popen(
                [*self._as_user(), self.interpreter, "-B", str(Path(__file__))],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "SECRET": "of the server"},
            )

    def _as_user(self) -> list[str]:
        return [] if self.user is None else _switch(self.user)


def _switch(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _prefix(interpreter: str) -> str:
    if interpreter == sys.executable:
        return sys.base_prefix
    return str(Path(interpreter).resolve().parent.parent)


@contextlib.contextmanager
def place(user: int | None, interpreter: str) -> Iterator[Confined]:
    """Make the folders of a worker where any user can reach them, and remove them in the end."""
    folder = Path(tempfile.mkdtemp(prefix="confined-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        yield Confined(folder, user, interpreter)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def why_no_ordinary_user(interpreter: str) -> str:
    """Return why no server can be played by another user, empty when it can."""
    if os.geteuid() != 0:
        return ""
    if shutil.which("setpriv") is None:
        return "setpriv is not installed"
    check = "import sys; assert sys.version_info >= (3, 11); import engine, worker"
    tried = subprocess.run(
        [*_switch(USER), interpreter, "-B", "-c", check],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    return f"user {USER} cannot reach a Python or this checkout" if tried.returncode else ""


def main() -> None:
    """Play the server: the order stands on the standard input, the outcome goes to the output."""
    order = json.load(sys.stdin)
    told = order["policy"]
    told["view"] = tuple(ViewEntry(**entry) for entry in told["view"])
    policy = Policy(**{k: tuple(v) if isinstance(v, list) else v for k, v in told.items()})
    layers = Layers(**order["layers"])
    print(json.dumps(asdict(_outcome(policy, layers, order))))  # noqa: T201


def _outcome(policy: Policy, layers: Layers, order: dict[str, Any]) -> Outcome:
    rules = landlock_rules(policy, layers) if layers.landlock_abi else None
    limits = [(path, policy.tmp_bytes, policy.tmp_inodes) for path in ("/tmp", "/dev/shm")]
    document = {
        "uid": policy.uid,
        "rlimits": order.get("rlimits", ()),
        "plugin_dir": policy.private_dir,
        "tmp": limits if layers.bwrap else [],
        "rules": rules,
        "lines": order["lines"],
    }
    # The Python itself, not that of an environment, whose files a plugin's packages wrote.
    interpreter = str(Path(order.get("interpreter", sys.executable)).resolve())
    reading, printing = os.pipe2(os.O_CLOEXEC)
    command = (interpreter, "-I", "-S", policy.runtime_dir)
    start = Start(policy, layers, command, json.dumps(document).encode(), printing)
    try:
        started = Launcher().start(start)
    except SandboxUnavailable as error:
        return Outcome(None, "", refusal=str(error))
    finally:
        os.close(printing)
    with os.fdopen(reading, errors="replace") as file:
        first = file.readline()
        shown = _shown(started.pid) if order.get("look") else []
        if order.get("tell"):
            print(first, end="", flush=True)  # noqa: T201
        output = first + file.read()
    return Outcome(started.popen.wait(), output, shown)


def _shown(pid: int) -> list[str]:
    """Return arguments and environment of a process and of all below it."""
    process = Path("/proc", str(pid))
    children = (process / "task" / str(pid) / "children").read_text().split()
    own = [(process / "cmdline").read_bytes(), (process / "environ").read_bytes()]
    return [text.decode(errors="replace") for text in own] + [
        text for child in children for text in _shown(int(child))
    ]


if __name__ == "__main__":
    main()
