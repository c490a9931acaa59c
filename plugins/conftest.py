"""What the tests of plugins share: a plugin loaded as the server loads it, and a recording API."""

import builtins
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.line_builder import LineBuilder


class RecordingCache:
    """Both namespaces of the cache as dicts; nothing expires."""

    def __init__(self):
        self.own = {}
        self.shared = {}

    def put(self, key, value, ttl=None, use_global=None):  # noqa: ARG002 - the API's signature
        """Keep a value."""
        (self.shared if use_global else self.own)[key] = value

    def get(self, key, default=None, use_global=None):
        """Return the same object again."""
        return (self.shared if use_global else self.own).get(key, default)

    def delete(self, key, use_global=None):
        """Forget a value."""
        return (self.shared if use_global else self.own).pop(key, None) is not None


class RecordingLocal:
    """Stands in for `influxdb3_local`: keeps what a plugin writes and logs, answers its queries.

    `answers` maps a part of the SQL text to the rows; the first part that occurs wins.
    """

    def __init__(self):
        self.cache = RecordingCache()
        self.lines = []
        self.logs = []
        self.queries = []
        self.answers = {}

    def write(self, line_builder):
        """Keep the lines of a builder."""
        self.lines += line_builder.build().split("\n")

    def query(self, query, args=None, database=None):  # noqa: ARG002 - the API's signature
        """Answer as prepared."""
        self.queries.append((query, args))
        return next(rows for part, rows in self.answers.items() if part in query)

    def info(self, *texts):
        """Keep a log line."""
        self._log("INFO", texts)

    def warn(self, *texts):
        """Keep a warning."""
        self._log("WARN", texts)

    def error(self, *texts):
        """Keep an error."""
        self._log("ERROR", texts)

    def _log(self, level, texts):
        self.logs.append((level, " ".join(map(str, texts))))


@pytest.fixture(autouse=True)
def line_builder(monkeypatch):
    """Make `LineBuilder` a built-in name, as it is where plugins run."""
    monkeypatch.setattr(builtins, "LineBuilder", LineBuilder, raising=False)


@pytest.fixture
def local():
    """Return a fresh recording API."""
    return RecordingLocal()


@pytest.fixture
def plugin(request):
    """Load the plugin beside the test: a single file in fresh globals, a folder as a package."""
    folder = Path(request.path).parent
    single = folder / f"{folder.name}.py"
    if single.is_file():
        names = {}
        exec(compile(single.read_text(), "<string>", "exec"), names)  # noqa: S102 - our own file
        return SimpleNamespace(**names)
    sys.path.insert(0, str(folder.parent))
    try:
        return importlib.import_module(folder.name)
    finally:
        sys.path.remove(str(folder.parent))
