"""The modules that a distribution brings are told from the list of its files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.environments.modules import modules_of


@pytest.mark.parametrize(
    ("files", "top_level", "expected"),
    [
        (["requests/__init__.py", "requests/api.py"], "", ("requests",)),
        (["six.py"], "", ("six",)),
        (["_cffi_backend.cpython-311-x86_64-linux-gnu.so", "cffi/__init__.py"], "", ("cffi",)),
        (["_only.abi3.so"], "", ("_only",)),
        (["yaml/__init__.py", "_yaml/__init__.py"], "_yaml\nyaml\n", ("yaml",)),
        (["ns/cloud/part/__init__.py", "ns/api.py"], "", ("ns.api", "ns.cloud.part")),
        (["pkg/__init__.py", "tests/__init__.py", "setup.py"], "", ("pkg",)),
        (["tests/__init__.py"], "", ("tests",)),
        (["real/__init__.py", "stray.py"], "real", ("real",)),
        (["real/__init__.py"], "renamed", ("real",)),
        (["requests-stubs/__init__.pyi", "../../bin/tool", "a.data/scripts/x.py"], "", ()),
        (["pkg-1.0.dist-info/METADATA", "pkg/__pycache__/x.cpython-311.pyc"], "", ()),
    ],
)
def test_modules_are_found(files: list[str], top_level: str, expected: tuple[str, ...]) -> None:
    record = "".join(f"{path},sha256=x,1\n" for path in files)

    assert modules_of(record, top_level) == expected


def test_quoted_paths_are_read() -> None:
    assert modules_of('"pkg/__init__.py",,\n"odd, name.py",,\n') == ("pkg",)


def test_a_path_that_is_too_long_to_be_read_ends_the_list() -> None:
    assert modules_of(f"one.py,,\n{'x' * 200_000}.py,,\ntwo.py,,\n") == ("one",)


def test_not_more_are_tried_than_is_quick() -> None:
    record = "".join(f"ns/part{number}/__init__.py,,\n" for number in range(100))

    assert len(modules_of(record)) == 16


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_text_gives_names_of_modules(record: str, top_level: str) -> None:
    found = modules_of(record, top_level)

    assert all(part.isidentifier() for module in found for part in module.split("."))
