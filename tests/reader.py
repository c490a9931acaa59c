"""Somebody who follows a page of the documentation word by word.

Fenced blocks, in order:

    sh              run as it stands; the working directory is kept from block to block
    sh server       started in the background; a running server is stopped first
    sh checkout     not run: the test's own path holds the program
    python file=F   written to the file F
    text            lines that the output of the block before holds, in this order; that block is
                    repeated until it does, because plugins run a moment after a write
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.serving import eventually

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
READY = re.compile(r"ready: http://(\S+)")
DEFAULT_ADDRESS = "127.0.0.1:8181"
ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind (`sh server`) or its file, and its text."""

    kind: str
    file: str | None
    body: str


def blocks_of(text: str) -> list[Block]:
    found = []
    for fence in FENCE.finditer(text):
        words = fence["info"].split()
        files = [word.removeprefix("file=") for word in words if word.startswith("file=")]
        kind = " ".join(word for word in words if not word.startswith("file="))
        found.append(Block(kind, files[0] if files else None, fence["body"]))
    return found


class Reader:
    """Somebody who follows a page word by word, in a home folder of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home
        self.address = DEFAULT_ADDRESS
        self.server: subprocess.Popen[str] | None = None

    def follow(self, block: Block, answer: str | None) -> None:
        match block.kind:
            case "sh" if answer is not None:
                self.expect(block.body, answer)
            case "sh":
                status, output = self.run(block.body)
                assert status == 0, f"{block.body}\n{output}"
            case "sh server":
                self.stop_server()
                self.start_server(block.body)
            case "python" if block.file is not None:
                target = self.folder / block.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.body)
            case "sh checkout" | "text":
                pass
            case _:
                raise AssertionError(f"a reader does not know what to do with {block}")

    def run(self, script: str) -> tuple[int, str]:
        where = self.home / ".folder"
        script = script.replace(DEFAULT_ADDRESS, self.address).replace("./bulkhead", "bulkhead")
        ended = subprocess.run(
            ["sh", "-ec", f"{script}\npwd > {where}"],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if ended.returncode == 0:
            self.folder = Path(where.read_text().strip())
        return ended.returncode, ended.stdout + ended.stderr

    def expect(self, script: str, lines: str) -> None:
        output = ""

        def is_there() -> bool:
            nonlocal output
            status, output = self.run(script)
            return status == 0 and holds(output, lines)

        try:
            eventually(is_there, within_s=ANSWER_WITHIN_S, every_s=0.2)
        except AssertionError:
            pytest.fail(f"{script}\nprinted\n{output}\ninstead of\n{lines}")

    def start_server(self, command: str) -> None:
        with (self.home / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                ["sh", "-c", f"exec {command.replace('./bulkhead', 'bulkhead')}"],
                cwd=self.folder,
                env={**self.environment(), "INFLUXDB3_HTTP_BIND_ADDR": "127.0.0.1:0"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.server.stdout is not None
        found = READY.search(self.server.stdout.readline())
        assert found is not None, (self.home / "server.log").read_text()
        self.address = found[1]

    def stop_server(self) -> None:
        server, self.server = self.server, None
        if server is None:
            return
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=15)
        assert server.returncode == 0

    def environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("INFLUXDB3_")}
        return {
            **kept,
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "INFLUXDB3_HOST_URL": f"http://{self.address}",
        }


def holds(output: str, lines: str) -> bool:
    """Whether an output holds lines, in this order; spaces at the ends of lines do not count."""
    at = 0
    for line in lines.strip().splitlines():
        at = output.find(line.strip(), at)
        if at < 0:
            return False
        at += len(line.strip())
    return True


def follow(text: str, home: Path) -> None:
    """Do what a page says, in a home folder."""
    with _reader(home) as following:
        for block, after in pairwise([*blocks_of(text), Block("text", None, "")]):
            following.follow(block, after.body if after.kind == "text" and after.body else None)


@contextmanager
def _reader(home: Path) -> Iterator[Reader]:
    following = Reader(home)
    try:
        yield following
    finally:
        following.stop_server()
