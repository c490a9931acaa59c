"""Plugins named `gh:<path>`: single files of a repository that answers HTTP.

They are fetched when a trigger is created and each time it starts, and never while it runs, each
with the manifest beside it, if there is one. The last good copy of each is kept on disk, so that a
trigger starts while the repository is away:

    <data>/<node>/fetched/<sha256 of the url>.py        replaced as a whole
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote, unquote

from engine.errors import PluginFileError
from engine.folders import sync_folder
from engine.model.lock import MANIFEST_FILE
from engine.plugins.code import MAX_SOURCE_BYTES, Report, Source
from engine.plugins.disk import write_file
from engine.plugins.download import Download, DownloadLimits, NotThere, PluginFetchFailed

__all__ = ["REMOTE_PREFIX", "FetchedCode", "Repository"]

log = logging.getLogger(__name__)
REMOTE_PREFIX = "gh:"
_LIMITS = DownloadLimits(max_bytes=MAX_SOURCE_BYTES, time_s=10.0)
_SCRATCH_PREFIX = ".writing-"
# What may stand in the path of a URL as it is; `%` because names may come encoded already.
_SAFE = "/-._~!$&'()*+,;=:@%"


class Repository:
    """The plugin repository; any thread may call. `_lock` guards the running downloads.

    Args:
        base: URL of its root; nothing else is ever asked.
        copies: folder of the last good copies; made when first needed.
        limits: of one download.
    """

    def __init__(self, base: str, copies: Path, limits: DownloadLimits = _LIMITS) -> None:
        self._base = base.rstrip("/")
        self._copies = copies
        self._limits = limits
        self._lock = threading.Lock()
        self._running: set[Download] = set()
        self._is_closed = False
        for left in copies.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)

    def fetch(self, path: str) -> str:
        """Fetch a file and keep it as the last good copy.

        Raises:
            PluginFetchFailed: it cannot be had as text.
        """
        url = self._url(path)
        text = self._text(url)
        self._keep(url, text)
        return text

    def fetch_with_manifest(self, path: str) -> tuple[str, str | None]:
        """Fetch a file and the manifest beside it, and keep them as the last good copies.

        A manifest in the root of the repository would belong to no file of it.

        Raises:
            PluginFetchFailed: one of them cannot be had as text; the manifest may not be there.
        """
        url, manifest_path = self._url(path), _beside(path)
        text = self._text(url)
        if manifest_path is None:
            self._keep(url, text)
            return text, None
        manifest_url = self._url(manifest_path)
        try:
            manifest = self._text(manifest_url)
        except NotThere:
            manifest = None
        self._keep(manifest_url, manifest)
        self._keep(url, text)
        return text, manifest

    def kept_with_manifest(self, path: str) -> tuple[str, str | None] | None:
        """Return the last good copies, or None when there is none of the file."""
        text, manifest_path = self.kept(path), _beside(path)
        if text is None:
            return None
        return text, None if manifest_path is None else self.kept(manifest_path)

    def kept(self, path: str) -> str | None:
        """Return the last good copy, or None when there is none."""
        try:
            return self._copy(self._url(path)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def close(self) -> None:
        """End running downloads, and refuse further ones."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for download in running:
            download.abort("the server is shutting down")

    def _download(self, url: str) -> bytes:
        download = Download(url, self._limits)
        with self._lock:
            self._running.add(download)
            is_closed = self._is_closed
        try:
            if is_closed:
                download.abort("the server is shutting down")
            return download.run()
        finally:
            with self._lock:
                self._running.discard(download)

    def _text(self, url: str) -> str:
        try:
            return self._download(url).decode()
        except UnicodeDecodeError as error:
            raise PluginFetchFailed(
                f"error fetching plugin from repository: not UTF-8 text: {url}"
            ) from error

    def _keep(self, url: str, text: str | None) -> None:
        """Store a copy, or that there is nothing; without one the plugin runs all the same."""
        try:
            if text is None:
                self._copy(url).unlink(missing_ok=True)
                return
            self._copies.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._copies, prefix=_SCRATCH_PREFIX) as scratch:
                written = Path(scratch, "copy.py")
                write_file(written, text.encode())
                written.replace(self._copy(url))
            sync_folder(self._copies)
        except OSError as error:
            log.warning("no copy of the plugin is kept", extra={"url": url, "reason": str(error)})

    def _copy(self, url: str) -> Path:
        return self._copies / f"{hashlib.sha256(url.encode()).hexdigest()}.py"

    def _url(self, path: str) -> str:
        parts = unquote(path).replace("\\", "/").split("/")
        if not path.strip("/") or ".." in parts or not path.isprintable():
            raise PluginFetchFailed(
                f"error fetching plugin from repository: '{path}' is not the path of a file in it"
            )
        return f"{self._base}/{quote(path.lstrip('/'), safe=_SAFE)}"


class FetchedCode:
    """A file of the repository.

    Any thread may call; `_lock` is held while the file is fetched, for which all of them wait.

    Args:
        name: as the trigger gives it, with its prefix.
        repository: where it comes from, if there is one.
        report: called with a text when the last good copy has to serve.
    """

    def __init__(self, name: str, repository: Repository | None, report: Report) -> None:
        self._name = name
        self._path = name.removeprefix(REMOTE_PREFIX)
        self._repository = repository
        self._report = report
        self._latest: Source | None = None
        self._lock = threading.Lock()

    def fetch(self) -> Source:
        """Fetch the file now.

        Raises:
            PluginFileError: it cannot be had.
        """
        return self._source(*self._from().fetch_with_manifest(self._path))

    def current(self) -> Source:
        """Return the file as it was when it was first asked for; see `PluginCode.current`."""
        with self._lock:
            if self._latest is None:
                self._latest = self._start()
            return self._latest

    def _start(self) -> Source:
        try:
            return self.fetch()
        except PluginFetchFailed as error:
            kept = self._from().kept_with_manifest(self._path)
            if kept is None:
                raise
            self._report(f"{error}; the last good copy is used until the trigger starts again")
            return self._source(*kept)

    def _from(self) -> Repository:
        if self._repository is None:
            raise PluginFileError(f"cannot fetch '{self._name}': there is no plugin repository")
        return self._repository

    def _source(self, text: str, manifest: str | None) -> Source:
        whole = text if manifest is None else f"{text}\0{manifest}"
        version = hashlib.sha256(whole.encode()).hexdigest()
        return Source(self._name, text, None, version, manifest)


def _beside(path: str) -> str | None:
    """Return where the manifest of a file would be."""
    folder = path.strip("/").rpartition("/")[0]
    return f"{folder}/{MANIFEST_FILE}" if folder else None
