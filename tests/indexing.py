"""An index of packages on this machine, with wheels made on the spot, that can be made to stall."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

_PATIENCE_S = 120


def wheel(
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
) -> tuple[str, bytes]:
    """Return the file name and the content of a wheel; without files it holds one module."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = {
        **(files or {f"{module}.py": f'__version__ = "{version}"\n'}),
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {text}\n" for text in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},{_digest(text)},{len(text.encode())}" for path, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return f"{module}-{version}-py3-none-any.whl", packed.getvalue()


def wheel_folder(folder: Path, *wheels: tuple[str, bytes]) -> Path:
    """Put wheels into a folder."""
    folder.mkdir(exist_ok=True)
    for name, content in wheels:
        (folder / name).write_bytes(content)
    return folder


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Index:
    """The wheels that are served, and what was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self._wheels: dict[str, bytes] = {}
        self._is_stalled = False
        self._goes_on = threading.Event()
        self.has_stalled = threading.Event()
        self.close: Callable[[], None] = lambda: None  # nobody answers any more

    @property
    def settings(self) -> dict[str, str]:
        """The variables by which an installer finds it."""
        return {"UV_DEFAULT_INDEX": self.url, "PIP_INDEX_URL": self.url}

    def add(self, *wheels: tuple[str, bytes]) -> None:
        """Serve wheels."""
        self._wheels.update(wheels)

    def stall(self) -> None:
        """Give no wheel from now on, but hold who asks for one until `go_on`."""
        self._goes_on.clear()
        self.has_stalled.clear()
        self._is_stalled = True

    def go_on(self) -> None:
        """Give what is asked for."""
        self._is_stalled = False
        self._goes_on.set()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and content for a path."""
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if parts[0] == "simple" and len(parts) == 2:
            return self._page(parts[1])
        if parts[0] == "files" and parts[-1].removesuffix(".metadata") in self._wheels:
            if parts[-1].endswith(".metadata"):
                return self._metadata(parts[-1].removesuffix(".metadata"))
            if self._is_stalled:
                self.has_stalled.set()
                self._goes_on.wait(_PATIENCE_S)
            return 200, "application/octet-stream", self._wheels[parts[-1]]
        return 404, "text/plain", b"not here"

    def _metadata(self, name: str) -> tuple[int, str, bytes]:
        """Return what a wheel says of itself, so that whoever solves need not fetch it."""
        try:
            with zipfile.ZipFile(BytesIO(self._wheels[name])) as archive:
                [path] = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
                return 200, "text/plain", archive.read(path)
        except zipfile.BadZipFile:
            package, version, *_ = name.split("-")
            text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
            return 200, "text/plain", text.encode()

    def _page(self, package: str) -> tuple[int, str, bytes]:
        module = package.replace("-", "_")
        links = [
            f'<a href="../../files/{name}#sha256={hashlib.sha256(content).hexdigest()}" '
            f'data-core-metadata="true">{name}</a>'
            for name, content in self._wheels.items()
            if name.startswith(f"{module}-")
        ]
        if not links:
            return 404, "text/plain", b"no such package"
        return 200, "text/html", "\n".join(["<!DOCTYPE html>", *links]).encode()


@contextlib.contextmanager
def indexing() -> Iterator[Index]:
    """Serve an index until the end of the block."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, content = index.answer(self.path)
            with contextlib.suppress(OSError):  # who asked may have been killed
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815  as the base class finds it

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def close() -> None:
        index.go_on()
        server.shutdown()
        thread.join()
        server.server_close()

    index.close = close
    try:
        yield index
    finally:
        close()
