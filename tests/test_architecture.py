"""The import rules of the project as code: layers, purity, who may touch which library."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from sys import stdlib_module_names

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 300

# From the ground up. A module imports lower layers or its own package; a module that stands
# directly in `engine` counts as a package.
LAYERS = (
    ("errors", "config", "settings", "clock", "service", "logs", "faultpoint", "folders"),
    ("model", "lineprotocol"),
    ("catalog", "wal", "storage", "cache", "plugins", "sandbox"),
    ("ingest", "query", "upkeep", "environments"),
    ("workers",),
    ("triggers",),
    ("http",),
    ("app",),
    ("cli", "demo", "__main__"),
)
LAYER_OF = {package: number for number, names in enumerate(LAYERS) for package in names}
# The ground is one room; parser and settings are written in the vocabulary's words.
SIDEWAYS = {("lineprotocol", "model"), ("config", "model")} | {
    (a, b) for a in LAYERS[0] for b in LAYERS[0]
}
SIDEWAYS |= {(a, b) for a in LAYERS[-1] for b in LAYERS[-1]}

PURE = {
    "engine.errors",
    "engine.errors.*",
    "engine.config",
    "engine.settings",
    "engine.faultpoint",
    "engine.model.*",
    "engine.lineprotocol.*",
    "engine.catalog.state",
    "engine.catalog.change",
    "engine.catalog.missing",
    "engine.catalog.commands",
    "engine.catalog.confining",
    "engine.catalog.codec",
    "engine.catalog.change_codec",
    "engine.catalog.deletion",
    "engine.catalog.filing",
    "engine.catalog.fold",
    "engine.catalog.consistency",
    "engine.catalog.parts",
    "engine.catalog.pin_codec",
    "engine.catalog.pin_fold",
    "engine.catalog.pinning",
    "engine.catalog.trigger_change_codec",
    "engine.catalog.trigger_codec",
    "engine.catalog.trigger_commands",
    "engine.catalog.trigger_fold",
    "engine.wal.blocks",
    "engine.wal.entries",
    "engine.wal.heads",
    "engine.wal.join",
    "engine.wal.record",
    "engine.wal.progress",
    "engine.storage.dedup",
    "engine.storage.pieces",
    "engine.storage.union",
    "engine.environments.failures",
    "engine.environments.locktext",
    "engine.environments.requirements",
    "engine.environments.asking",
    "engine.environments.wishlist",
    "engine.sandbox.addresses",
    "engine.sandbox.pace",
    "engine.sandbox.proxy_answer",
    "engine.sandbox.proxy_request",
    "engine.sandbox.reach",
    "engine.sandbox.policy",
    "engine.sandbox.bubblewrap",
    "engine.sandbox.seccomp.rules",
    "engine.ingest.body",
    "engine.ingest.check",
    "engine.query.contest",
    "engine.query.failures",
    "engine.query.listing",
    "engine.query.memory_times",
    "engine.query.mentions",
    "engine.query.pretty",
    "engine.query.render",
    "engine.query.render_time",
    "engine.query.rewrite",
    "engine.query.rows",
    "engine.query.scan",
    "engine.query.snapshot",
    "engine.query.time_range",
    "engine.workers.happenings",
    "engine.upkeep.overlaps",
    "engine.upkeep.planning",
    "engine.workers.lifecycle",
    "engine.workers.moves",
    "engine.workers.backoff",
    "engine.workers.encode",
    "engine.workers.native",
    "engine.workers.zmtp",
    "worker.wire.*",
    "worker.line_builder",
    "worker.response",
    "worker.streaming",
}
IMPURE_LIBRARIES = frozenset(
    ["os", "io", "socket", "threading", "time", "zmq", "logging", "subprocess", "pathlib"],
)
# Acts on nothing itself, but speaks to the writer that it is given.
PURE_BUT_FOR_ITS_PARTNER = {"engine.ingest.transaction"}
# Who may import a library that only some may touch.
RESERVED = {
    "zmq": r"engine\.workers\.endpoint|worker\.lane|engine\.app\..*",
    "datafusion": r"engine\.query\..*",
    "obstore": r"engine\.catalog\.objects|engine\.storage\..*",
}
WORKER_LIBRARIES = stdlib_module_names | {"zmq", "msgpack", "worker"}


@cache
def sources() -> dict[str, Path]:
    """Return the files of both packages by module name."""
    files = (path for top in ("engine", "worker") for path in (ROOT / top).rglob("*.py"))
    return {module_name(path): path for path in files}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(module: str) -> frozenset[str]:
    """Return what a module imports, as modules where they are ours, else as written."""
    return imports_of(sources()[module].read_text(encoding="utf-8"), module)


def imports_of(text: str, module: str) -> frozenset[str]:
    nodes = ast.walk(ast.parse(text))
    return frozenset(name for node in nodes for name in imported(node, module))


def imported(node: ast.AST, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        base = absolute(node, module)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in sources() else base


def absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    is_package = module in sources() and sources()[module].name == "__init__.py"
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def package_of(module: str) -> str:
    """Return the second element of a name: `engine.wal.log` belongs to `wal`."""
    return module.split(".")[1]


def modules(top: str) -> list[str]:
    return sorted(m for m in sources() if m.split(".")[0] == top)


def is_pure(module: str) -> bool:
    if module in PURE:
        return True
    parts = module.split(".")
    return any(".".join([*parts[:n], "*"]) in PURE for n in range(1, len(parts) + 1))


def may_import(importer: str, target: str) -> bool:
    a, b = package_of(importer), package_of(target)
    return a == b or (a, b) in SIDEWAYS or LAYER_OF[b] < LAYER_OF[a]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os.path, zmq", {"os.path", "zmq"}),
        ("from engine import __version__", {"engine"}),
        ("from engine.errors import UserError", {"engine.errors"}),
        ("from .segment import Segment", {"engine.wal.segment"}),
        ("from ..errors import UserError", {"engine.errors"}),
        ("def late():\n    import zmq", {"zmq"}),
    ],
)
def test_every_form_of_import_is_seen(text: str, expected: set[str]) -> None:
    assert imports_of(text, "engine.wal.log") == expected


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("engine.wal.log", "engine.wal.segment", True),
        ("engine.wal.log", "engine.model.entry", True),
        ("engine.wal.log", "engine.catalog.store", False),
        ("engine.model.batch", "engine.wal.log", False),
        ("engine.lineprotocol.parser", "engine.model.columns", True),
        ("engine.model.columns", "engine.lineprotocol.parser", False),
        ("engine.cli.serve", "engine.app", True),
        ("engine.app", "engine.cli.serve", False),
    ],
)
def test_layers_allow_and_forbid(importer: str, target: str, allowed: bool) -> None:
    assert may_import(importer, target) is allowed


def test_every_engine_package_has_a_layer() -> None:
    packages = {package_of(m) for m in modules("engine") if m != "engine"}

    assert packages <= set(LAYER_OF)


def test_engine_imports_point_down_the_layers() -> None:
    wrong = [
        f"{module} imports {target}"
        for module in modules("engine")
        for target in sorted(imports(module))
        if module != "engine" and target.startswith("engine.") and not may_import(module, target)
    ]

    assert wrong == []


def test_the_root_of_engine_exports_from_app_and_ground_only() -> None:
    ours = {m for m in imports("engine") if m.startswith("engine")} if "engine" in sources() else {}

    assert set(ours) <= {"engine.app", "engine.config", "engine.errors"}


def test_nobody_inside_engine_imports_its_root() -> None:
    wrong = [m for m in modules("engine") if "engine" in imports(m)]

    assert wrong == []


def test_engine_takes_only_the_wire_from_worker() -> None:
    wrong = [
        f"{module} imports {target}"
        for module in modules("engine")
        for target in sorted(imports(module))
        if target.split(".")[0] == "worker" and target.split(".")[:2] != ["worker", "wire"]
    ]

    assert wrong == []


def test_worker_depends_on_the_standard_library_zmq_and_msgpack() -> None:
    wrong = [
        f"{module} imports {target}"
        for module in modules("worker")
        for target in sorted(imports(module))
        if target.split(".")[0] not in WORKER_LIBRARIES
    ]

    assert wrong == []


def test_pure_modules_import_nothing_that_acts() -> None:
    wrong = [
        f"{module} imports {target}"
        for module in filter(is_pure, sorted(sources()))
        for target in sorted(imports(module))
        if target.split(".")[0] in IMPURE_LIBRARIES
    ]

    assert wrong == []


def test_pure_modules_import_only_pure_modules_of_ours() -> None:
    wrong = [
        f"{module} imports {target}"
        for module in filter(is_pure, sorted(sources().keys() - PURE_BUT_FOR_ITS_PARTNER))
        for target in sorted(imports(module) & sources().keys())
        if not is_pure(target)
    ]

    assert wrong == []


@pytest.mark.parametrize("library", sorted(RESERVED))
def test_a_reserved_library_is_imported_only_where_it_may(library: str) -> None:
    wrong = [
        module
        for module in sorted(sources())
        if library in {target.split(".")[0] for target in imports(module)}
        and not re.fullmatch(RESERVED[library], module)
    ]

    assert wrong == []


def test_modules_form_no_cycle() -> None:
    graph = {m: (imports(m) & sources().keys()) - {m} for m in sources()}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_files_stay_short() -> None:
    lengths = {m: len(p.read_text(encoding="utf-8").splitlines()) for m, p in sources().items()}

    assert {m: n for m, n in lengths.items() if n > MAX_LINES} == {}


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"NotImplementedError|\b(TODO|FIXME|XXX)\b")
    found = [m for m, p in sources().items() if marks.search(p.read_text(encoding="utf-8"))]

    assert found == []
