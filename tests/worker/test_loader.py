from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.loader import SOURCE_NAME, Loader, PluginInvalid
from worker.wire.messages import Load


@pytest.fixture
def loader() -> Iterator[Loader]:
    yield Loader()
    linecache.cache.pop(SOURCE_NAME, None)


def _single(text: str) -> Load:
    return Load("plugin.py", text, None)


def test_each_event_gets_fresh_globals(loader: Loader) -> None:
    loader.load(_single("seen = []\ndef process_writes():\n    seen.append(1)\n    return seen"))

    results = [loader.entry_point("process_writes")() for _ in range(2)]

    assert results == [[1], [1]]


def test_new_text_takes_effect_at_the_next_event(loader: Loader) -> None:
    loader.load(_single("def process_writes(): return 1"))
    loader.entry_point("process_writes")
    loader.load(_single("def process_writes(): return 2"))

    assert loader.entry_point("process_writes")() == 2


def test_globals_are_those_of_core(loader: Loader) -> None:
    loader.load(_single("def process_writes(): return set(globals())"))

    names = loader.entry_point("process_writes")()

    assert names == {"__builtins__", "process_writes"}


def test_tracebacks_show_the_lines_of_the_plugin(loader: Loader) -> None:
    loader.load(_single("def process_writes():\n    raise ValueError('x')  # here"))

    with pytest.raises(ValueError, match="x") as caught:
        loader.entry_point("process_writes")()

    lines = "".join(traceback.format_exception(caught.value))
    assert (
        "File \"<string>\", line 2, in process_writes\n    raise ValueError('x')  # here" in lines
    )


def test_nothing_to_run_is_said(loader: Loader) -> None:
    with pytest.raises(PluginInvalid, match="no plugin was loaded"):
        loader.entry_point("process_writes")


def test_a_folder_leaves_the_path_as_it_was(loader: Loader, tmp_path: Path) -> None:
    plugin = tmp_path / "folder-with-dashes"
    plugin.mkdir()
    (plugin / "__init__.py").write_text(
        "import sys\nfrom .part import process_writes\npath = list(sys.path)"
    )
    (plugin / "part.py").write_text("def process_writes(): return 'part'")
    before = list(sys.path)

    loader.load(Load("folder-with-dashes", None, f"{plugin}/"))
    function = loader.entry_point("process_writes")

    assert function() == "part"
    assert sys.modules["folder-with-dashes"].path[0] == str(tmp_path)
    assert sys.path == before
    for name in ("folder-with-dashes", "folder-with-dashes.part"):
        del sys.modules[name]
