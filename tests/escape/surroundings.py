"""What lies around a server under attack: somebody else's files, listeners and memory.

All of it may be used by every user of the machine, so that file modes alone protect nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.escape.attacks.catalog import SECRET

LIBC = ctypes.CDLL(None, use_errno=True)
_IPC_CREAT, _IPC_RMID = 0o1000, 0
# Where an attack could leave something on the host.
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/", "/etc", "/usr/lib")


class Surroundings:
    """Files, listeners and memory of somebody who is not the server."""

    def __init__(self) -> None:
        # Not below /tmp, of which a worker may have its own.
        self.folder = Path(tempfile.mkdtemp(prefix="escape-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        self.outside.chmod(0o777)
        self.secret = self.outside / "secret.txt"
        self.secret.write_text(f"{SECRET} a file\n")
        self.secret.chmod(0o644)
        name = f"escape-{secrets.token_hex(4)}"
        self.abstract_name = name
        self.unix_path = str(self.outside / "socket")
        self._closing = contextlib.ExitStack()
        self.tcp = self._listener(socket.AF_INET, ("127.0.0.1", 0))
        self._listener(socket.AF_UNIX, self.unix_path)
        Path(self.unix_path).chmod(0o777)
        self._listener(socket.AF_UNIX, "\0" + name)
        self.udp = self._closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.shm = Path("/dev/shm", name)
        self.shm.write_text(f"{SECRET} shared memory\n")
        self.shm.chmod(0o666)
        self.memory = os.memfd_create("escape")
        os.write(self.memory, f"{SECRET} memory\n".encode())
        os.fchmod(self.memory, 0o666)
        self.sysv_key = secrets.randbelow(1 << 30) + 1
        self._segment = LIBC.shmget(self.sysv_key, 4096, _IPC_CREAT | 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.close()
        os.close(self.memory)
        LIBC.shmctl(self._segment, _IPC_RMID, None)
        self.shm.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listener(self, family: int, address: tuple[str, int] | str) -> socket.socket:
        listener = self._closing.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen(128)
        return listener

    def datagrams(self) -> list[bytes]:
        """Return what has arrived by UDP since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.udp.recv(2048))
        return found

    def traces(self, mark: str) -> list[Path]:
        """Return what an attack has left on the host; it is removed."""
        found = [path for place in SHARED_FOLDERS for path in Path(place).glob(f"*{mark}*")]
        found += self.outside.glob(f"*{mark}*")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return found

    def holdings(self) -> dict[str, bytes]:
        """Return what lies in the folder outside, to see whether it was changed."""
        return {
            path.name: path.read_bytes() if path.is_file() else b""
            for path in self.outside.iterdir()
        }
