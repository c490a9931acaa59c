"""The plugin repository, played by a local HTTP server."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.plugins.download import DownloadLimits, PluginFetchFailed
from engine.plugins.fetch import FetchedCode, Repository
from engine.plugins.source import PluginFolder

LIMITS = DownloadLimits(max_bytes=1000, time_s=0.3)
CODE = "def process_writes(a, b, c): pass\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as `routes` says; what it does not know is not found."""

    routes: dict[str, Callable[[Handler], None]]
    asked: list[str]
    end: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.routes.get(self.path, lambda handler: handler.send_error(404))(self)

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the output of tests clean."""


class Server(http.server.ThreadingHTTPServer):
    """Does not mind clients that go away."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def repo() -> Iterator[type[Handler]]:
    handler = type(
        "Routes", (Handler,), {"routes": {}, "asked": [], "url": "", "end": threading.Event()}
    )
    server = Server(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler
    handler.end.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def repository(repo: type[Handler], tmp_path: Path) -> Repository:
    return Repository(f"{repo.url}/base/", tmp_path / "copies", LIMITS)


def serve(repo: type[Handler], body: bytes = CODE.encode()) -> None:
    repo.routes["/base/a/b.py"] = lambda handler: handler.answer(body)


def test_a_file_is_fetched_below_the_base_with_one_slash(
    repo: type[Handler], tmp_path: Path
) -> None:
    serve(repo)

    for base in ("base", "base/"):
        for path in ("a/b.py", "/a/b.py"):
            fetched = Repository(f"{repo.url}/{base}", tmp_path, LIMITS).fetch(path)
            assert fetched == CODE
    assert set(repo.asked) == {"/base/a/b.py"}


def test_an_answer_that_is_not_good_is_told_with_status_and_url(
    repo: type[Handler], repository: Repository
) -> None:
    repo.routes["/base/forbidden"] = lambda handler: handler.answer(b"", 403)
    url = f"{repo.url}/base"

    with pytest.raises(PluginFetchFailed) as missing:
        repository.fetch("nope.py")
    with pytest.raises(PluginFetchFailed) as forbidden:
        repository.fetch("forbidden")

    doing = "error fetching plugin from repository"
    assert str(missing.value) == f"{doing}: 404 Not Found {url}/nope.py"
    assert str(forbidden.value) == f"{doing}: 403 Forbidden {url}/forbidden"


def test_a_server_that_does_not_answer_is_given_up(
    repo: type[Handler], repository: Repository
) -> None:
    repo.routes["/base/a/b.py"] = lambda handler: handler.end.wait()

    with pytest.raises(PluginFetchFailed, match=r"(no answer within 0.3 s|timed out): http"):
        repository.fetch("a/b.py")


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.end.wait(0.02):
        handler.wfile.write(b"#")


def test_a_server_that_drips_is_given_up_in_time(
    repo: type[Handler], repository: Repository
) -> None:
    repo.routes["/base/a/b.py"] = drip

    with pytest.raises(PluginFetchFailed, match=r"no answer within 0\.3 s"):
        repository.fetch("a/b.py")
    assert repository.kept("a/b.py") is None


def test_a_file_that_is_too_large_is_refused(repo: type[Handler], repository: Repository) -> None:
    serve(repo, b"#" * 1001)

    with pytest.raises(PluginFetchFailed, match="larger than 1000 bytes"):
        repository.fetch("a/b.py")


def test_a_file_that_is_cut_off_is_refused(repo: type[Handler], repository: Repository) -> None:
    repo.routes["/base/a/b.py"] = lambda handler: handler.answer(b"a = 1\n", Content_Length="100")

    with pytest.raises(PluginFetchFailed, match="the connection ended in the middle"):
        repository.fetch("a/b.py")


def test_a_file_that_is_no_text_is_refused(repo: type[Handler], repository: Repository) -> None:
    serve(repo, b"\xff\xfe")

    with pytest.raises(PluginFetchFailed, match="not UTF-8 text"):
        repository.fetch("a/b.py")


def test_redirects_are_followed_a_few_times(repo: type[Handler], repository: Repository) -> None:
    serve(repo)
    repo.routes["/base/moved"] = lambda handler: handler.answer(b"", 302, Location="/base/a/b.py")
    repo.routes["/base/round"] = lambda handler: handler.answer(b"", 301, Location="round")

    assert repository.fetch("moved") == CODE
    with pytest.raises(PluginFetchFailed, match="more than 5 redirects"):
        repository.fetch("round")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", ""])
def test_redirects_lead_to_web_servers_only(
    repo: type[Handler], repository: Repository, target: str
) -> None:
    repo.routes["/base/away"] = lambda handler: handler.answer(b"", 307, Location=target)

    with pytest.raises(PluginFetchFailed, match="which is not followed"):
        repository.fetch("away")


@pytest.mark.parametrize("path", ["", "/", "../x.py", "a/../../x", "%2e%2e/x", "a\\..\\x", "a\nb"])
def test_a_path_does_not_leave_the_base(
    repo: type[Handler], repository: Repository, path: str
) -> None:
    with pytest.raises(PluginFetchFailed, match="is not the path of a file in it"):
        repository.fetch(path)

    assert repo.asked == []


@pytest.mark.parametrize("path", ["http://127.0.0.1:1/x", "x?y#z", "@127.0.0.1:1/x", "ä b"])
def test_a_path_is_asked_of_the_base_whatever_it_looks_like(
    repo: type[Handler], repository: Repository, path: str
) -> None:
    with pytest.raises(PluginFetchFailed, match="404 Not Found"):
        repository.fetch(path)

    assert repo.asked[0].startswith("/base/")
    assert "?" not in repo.asked[0]


def test_a_repository_that_is_gone_is_named(repository: Repository, tmp_path: Path) -> None:
    gone = Repository("http://127.0.0.1:1", tmp_path, LIMITS)

    with pytest.raises(PluginFetchFailed, match=r"Connection refused: http://127.0.0.1:1/x\.py"):
        gone.fetch("x.py")


def test_code_is_fetched_once_and_then_kept(repo: type[Handler], repository: Repository) -> None:
    serve(repo)
    reports: list[str] = []
    code = FetchedCode("gh:a/b.py", repository, reports.append)

    first, second = code.current(), code.current()

    assert first is second
    assert (first.name, first.text, first.folder) == ("gh:a/b.py", CODE, None)
    assert (repo.asked, reports) == (["/base/a/b.py", "/base/a/manifest.toml"], [])


def test_the_last_good_copy_serves_when_the_source_is_gone(
    repo: type[Handler], repository: Repository
) -> None:
    serve(repo)
    before = FetchedCode("gh:a/b.py", repository, print).current()
    repo.routes.clear()
    reports: list[str] = []

    after = FetchedCode("gh:a/b.py", repository, reports.append).current()

    assert after == before
    (report,) = reports
    assert report.startswith("error fetching plugin from repository: 404 Not Found")
    assert "the last good copy is used" in report


def test_a_copy_does_not_let_a_new_trigger_pass(
    repo: type[Handler], repository: Repository, tmp_path: Path
) -> None:
    serve(repo)
    plugins = PluginFolder(tmp_path, repository)
    plugins.check("gh:a/b.py")
    repo.routes.clear()

    with pytest.raises(PluginFetchFailed, match="404 Not Found"):
        plugins.check("gh:a/b.py")


def test_copies_belong_to_one_url_and_are_replaced_whole(
    repo: type[Handler], repository: Repository, tmp_path: Path
) -> None:
    serve(repo, b"one")
    repository.fetch("a/b.py")
    serve(repo, b"two")
    repository.fetch("a/b.py")

    name = hashlib.sha256(f"{repo.url}/base/a/b.py".encode()).hexdigest()
    assert [path.name for path in (tmp_path / "copies").iterdir()] == [f"{name}.py"]
    assert repository.kept("a/b.py") == "two"
    assert repository.kept("b.py") is None


def test_unfinished_copies_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".writing-x").mkdir()
    (tmp_path / ".writing-x" / "copy.py").write_text("half")

    Repository("http://127.0.0.1:1", tmp_path, LIMITS)

    assert list(tmp_path.iterdir()) == []


def test_closing_ends_downloads_at_once(repo: type[Handler], tmp_path: Path) -> None:
    is_asked = threading.Event()

    def hang(handler: Handler) -> None:
        is_asked.set()
        handler.end.wait()

    repo.routes["/a"] = hang
    patient = Repository(repo.url, tmp_path, DownloadLimits(1000, 30.0))
    failures: list[str] = []

    def fetch() -> None:
        with pytest.raises(PluginFetchFailed) as failed:
            patient.fetch("a")
        failures.append(str(failed.value))

    waiting = threading.Thread(target=fetch)
    waiting.start()
    is_asked.wait()
    patient.close()
    waiting.join(5)

    assert failures == [
        f"error fetching plugin from repository: the server is shutting down: {repo.url}/a"
    ]
    with pytest.raises(PluginFetchFailed, match="shutting down"):
        patient.fetch("a")
