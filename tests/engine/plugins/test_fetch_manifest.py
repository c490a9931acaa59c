"""Manifests beside fetched plugins: they come with the code, or are not there."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.plugins.download import DownloadLimits, PluginFetchFailed
from engine.plugins.fetch import FetchedCode, Repository

FILES: dict[str, bytes | int] = {}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = FILES.get(self.path, 404)
        self.send_response(content if isinstance(content, int) else 200)
        self.end_headers()
        if isinstance(content, bytes):
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the output of tests clean."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    FILES.clear()
    FILES.update({"/a/b.py": b"x = 1\n", "/a/manifest.toml": b"[dependencies]\n", "/c.py": b"y"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield Repository(url, tmp_path, DownloadLimits(max_bytes=1000, time_s=5.0))
    server.shutdown()
    thread.join()
    server.server_close()


def ignore(_text: str) -> None:
    """Report to nobody."""


def test_a_manifest_comes_with_the_code_and_is_part_of_its_version(repository: Repository) -> None:
    one = FetchedCode("gh:a/b.py", repository, ignore).fetch()
    FILES["/a/manifest.toml"] = b"# changed\n"
    two = FetchedCode("gh:a/b.py", repository, ignore).fetch()

    assert (one.text, one.manifest) == ("x = 1\n", "[dependencies]\n")
    assert two.manifest == "# changed\n"
    assert one.version != two.version


@pytest.mark.parametrize("status", [403, 404, 410])
def test_code_without_a_manifest_is_as_good(repository: Repository, status: int) -> None:
    FetchedCode("gh:a/b.py", repository, ignore).fetch()
    FILES["/a/manifest.toml"] = status

    source = FetchedCode("gh:a/b.py", repository, ignore).fetch()

    assert (source.text, source.manifest) == ("x = 1\n", None)
    assert repository.kept_with_manifest("a/b.py") == ("x = 1\n", None)


def test_a_manifest_that_may_be_there_is_not_done_without(repository: Repository) -> None:
    FILES["/a/manifest.toml"] = 500

    with pytest.raises(PluginFetchFailed, match=r"500 Internal Server Error .*/a/manifest\.toml"):
        FetchedCode("gh:a/b.py", repository, ignore).fetch()
    assert repository.kept("a/b.py") is None


def test_a_file_in_the_root_has_no_manifest(repository: Repository) -> None:
    FILES["/manifest.toml"] = b"[dependencies]\n"

    assert FetchedCode("gh:c.py", repository, ignore).fetch().manifest is None


def test_the_last_good_copies_belong_together(repository: Repository) -> None:
    before = FetchedCode("gh:a/b.py", repository, ignore).fetch()
    FILES.clear()

    assert FetchedCode("gh:a/b.py", repository, ignore).current() == before
