"""The page of the plugin API is held against the code: names, signatures, texts."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.probing import Probe
from tests.serving import serving
from worker import line_builder
from worker.api import Local, QueryError
from worker.cache import Cache
from worker.line_builder import LineBuilder
from worker.loader import Loader, PluginInvalid, install_builtins
from worker.wire.messages import Load

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "plugin-api.md").read_text()
BATCH = """
class Lines:
    def __init__(self, text):
        self.text = text
    def build(self):
        return self.text
"""


def section(title: str) -> str:
    """Return what stands under a heading, up to the next one."""
    [_, text] = re.split(rf"^##+ {re.escape(title)}$", PAGE, flags=re.MULTILINE)
    return re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """Return the cells of a section's tables without heads and back quotes."""
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line[1:-1].split(" | ")] for line in lines]


def signature(call: Callable[..., object]) -> str:
    """Return names and defaults of a method as the page writes them."""
    names = []
    for parameter in list(inspect.signature(call).parameters.values())[1:]:
        stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
        has_default = parameter.default is not inspect.Parameter.empty
        default = f"={parameter.default!r}" if has_default else ""
        names.append(f"{stars}{parameter.name}{default}")
    return f"({', '.join(names)})"


def methods(kind: type, prefix: str = "") -> set[str]:
    return {
        f"{prefix}{name}{signature(member)}"
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_every_call_is_documented_with_its_parameters() -> None:
    documented = {cells[0] for cells in rows("influxdb3_local")}

    assert documented == methods(Local) | methods(Cache, "cache.")
    others = {name for name in dir(Local) if not name.startswith("_")}
    assert others - {call.split("(")[0] for call in methods(Local)} == {"cache"}


def test_every_method_of_the_builder_is_documented_with_its_parameters() -> None:
    documented = {cells[0] for cells in rows("LineBuilder")}

    constructor = f"LineBuilder{signature(LineBuilder.__init__)}"
    assert documented == methods(LineBuilder) | {constructor}
    for name in ("measurement", "tags", "fields"):
        assert f"`{name}`" in section("LineBuilder")
        assert hasattr(LineBuilder("m"), name)


def test_every_builtin_name_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {*line_builder.__all__, QueryError.__name__}
    for name in names:
        monkeypatch.setattr(builtins, name, None, raising=False)
        kind = getattr(line_builder, name, QueryError)
        monkeypatch.setattr(kind, "__module__", kind.__module__)

    install_builtins()

    text = section("Errors") + section("LineBuilder")
    for name in names:
        assert getattr(builtins, name) is getattr(line_builder, name, QueryError)
        assert f"`{name}`" in text or f"`{name}(" in text


def entry_points() -> list[tuple[str, list[str]]]:
    code = section("Entry points").split("```")[1].removeprefix("python\n")
    functions = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    return [(each.name, [parameter.arg for parameter in each.args.args]) for each in functions]


def test_every_entry_point_is_documented_as_its_absence_is_told() -> None:
    loader = Loader()
    loader.load(Load("empty.py", text="", folder=None))

    for name, parameters in entry_points():
        with pytest.raises(PluginInvalid) as caught:
            loader.entry_point(name)
        assert f"| without `{name}` | `{caught.value}` |" in section("Errors")
        assert f"{name}({', '.join(parameters)}=None)" in str(caught.value)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    with serving(tmp_path_factory.mktemp("page")) as server:
        server.create_database("db")
        yield Probe.add(server)


@pytest.mark.parametrize(("code", "kind", "text"), rows("Errors"))
def test_every_error_is_raised_as_documented(probe: Probe, code: str, kind: str, text: str) -> None:
    name, told = probe.raised(f"{BATCH}\n{code}")

    known = text.removesuffix("...")
    assert (name, told[: len(known)] if known != text else told) == (kind, known)


def test_every_error_of_the_table_is_seen() -> None:
    kinds: list[Any] = [cells[1] for cells in rows("Errors")]

    assert len(kinds) >= 20
    assert {"QueryError", *line_builder.__all__} - {"InfluxDBError", "LineBuilder"} <= set(kinds)
