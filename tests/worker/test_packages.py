from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.packages import PluginInvalid, import_package

NAME = "plugin_in_a_folder"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / NAME
    made.mkdir()
    hooks, modules = list(sys.path_hooks), set(sys.modules)
    yield made
    sys.path_hooks[:] = hooks
    for name in set(sys.modules) - modules:
        if name.startswith(NAME):
            del sys.modules[name]


def test_byte_code_is_neither_written_nor_read(folder: Path) -> None:
    (folder / "__init__.py").write_text("from .m import N\n")
    (folder / "m.py").write_text("N = 1\n")
    import_package(str(folder))

    assert not list(folder.rglob("*.pyc"))


def test_an_edit_within_the_same_second_is_seen(folder: Path) -> None:
    (folder / "__init__.py").write_text("from .m import N\n")
    seen = []
    for number in range(3):
        (folder / "m.py").write_text(f"N = {number}\n")
        seen.append(import_package(str(folder)).N)
        for name in (NAME, f"{NAME}.m"):
            del sys.modules[name]

    assert seen == [0, 1, 2]


def test_a_folder_that_changes_while_it_is_imported_is_imported_again(folder: Path) -> None:
    (folder / "__init__.py").write_text(
        "from pathlib import Path\n"
        "from .m import N\n"
        "if N == 1:\n"
        "    Path(__file__).with_name('m.py').write_text('N = 200')\n"
    )
    (folder / "m.py").write_text("N = 1")

    assert import_package(str(folder)).N == 200


def test_a_mixture_that_cannot_be_imported_is_imported_again(folder: Path) -> None:
    (folder / "__init__.py").write_text(
        "from pathlib import Path\n"
        "if not Path(__file__).with_name('m.py').exists():\n"
        "    Path(__file__).with_name('m.py').write_text('N = 1')\n"
        "    raise ImportError('half')\n"
        "from .m import N\n"
    )

    assert import_package(str(folder)).N == 1


def test_a_folder_that_always_changes_is_imported_all_the_same(folder: Path) -> None:
    (folder / "__init__.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "Path(__file__).with_name(f'{os.urandom(8).hex()}.py').touch()\n"
    )

    assert import_package(str(folder)).__name__ == NAME
    assert len(list(folder.iterdir())) == 6


def test_a_folder_whose_code_raises_leaves_no_module_behind(folder: Path) -> None:
    (folder / "__init__.py").write_text("from . import m\nraise ValueError('no')\n")
    (folder / "m.py").write_text("")

    with pytest.raises(PluginInvalid, match=r"Failed to import .*: ValueError: no"):
        import_package(str(folder))

    assert not [name for name in sys.modules if name.startswith(NAME)]
