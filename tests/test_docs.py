"""The documentation is held against the program: commands are run, tables compared."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import engine
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.cli.main import app
from engine.config import Config
from engine.errors import EngineError
from engine.ingest.internal import DEAD_LETTERS, RUNS, InternalTables
from engine.logs import LogRing
from engine.query.history_tables import DEAD_LETTER_COLUMNS, RUN_COLUMNS
from engine.query.mentions import Mentions
from engine.query.system_tables import SystemTables
from engine.query.tables import QueryService
from engine.storage.buffer import HotBuffer
from tests.reader import follow
from worker.wire import LIMITS, codec
from worker.wire.session import SENDERS

HISTORY = {RUNS: RUN_COLUMNS, DEAD_LETTERS: DEAD_LETTER_COLUMNS}
ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "docs/tutorial/first-plugin.md",
        "docs/how-to/deploy-a-plugin.md",
        "docs/how-to/test-a-plugin.md",
        # Packages come from the index.
        pytest.param("docs/how-to/install-packages.md", marks=pytest.mark.timeout(240)),
        "docs/how-to/back-up.md",
        "docs/how-to/grant-a-host.md",
        "docs/how-to/read-the-sandbox-report.md",
        "README.md",
    ],
)
def test_whoever_follows_the_page_gets_what_it_says(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text()
    # The first commands of the README are tested by the bootstrap's and the demo's own tests.
    text = text.split("## Use it")[-1]

    follow(text, tmp_path)


def page(name: str) -> str:
    return (DOCS / name).read_text()


def rows(name: str) -> list[list[str]]:
    """Return the cells of all table rows of a page, without their back quotes."""
    lines = [line for line in page(name).splitlines() if line.startswith("|")]
    split = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace("`", "") for cell in cells] for cells in split]


def errors_with_codes() -> dict[str, type[EngineError]]:
    for module in pkgutil.walk_packages(engine.__path__, "engine."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {}
    waiting: list[type[EngineError]] = [EngineError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        # Tests make errors of their own.
        if "code" in vars(kind) and kind.__module__.startswith("engine."):
            assert kind.code not in found, f"the code {kind.code} belongs to two errors"
            found[kind.code] = kind
    return found


def test_every_error_is_documented_with_its_status() -> None:
    documented = {cells[0]: cells[1] for cells in rows("reference/errors.md")}

    # The root of the tree is never raised.
    wanted = {c: str(e.http_status) for c, e in errors_with_codes().items() if e is not EngineError}

    assert {code: documented.get(code) for code in wanted} == wanted


def test_no_error_is_documented_that_does_not_exist() -> None:
    with_status = {cells[0] for cells in rows("reference/errors.md") if cells[1].isdecimal()}

    assert with_status <= set(errors_with_codes())


def test_every_message_kind_is_documented_with_its_number_sender_and_fields() -> None:
    documented = [
        tuple(cells[:4]) for cells in rows("reference/wire-protocol.md") if len(cells) > 4
    ]

    for number, (kind, _) in codec._KINDS.items():  # noqa: SLF001  numbers stand nowhere else
        names = ", ".join(field.name for field in dataclasses.fields(kind))
        assert (str(number), kind.__name__, SENDERS[kind], names) in documented


def test_the_limits_of_the_wire_are_documented() -> None:
    documented = {cells[0]: cells[1] for cells in rows("reference/wire-protocol.md")}

    for name, value in dataclasses.asdict(LIMITS).items():
        assert documented[name] == str(value)


def settings_of(kind: type, path: str = "") -> Iterator[tuple[str, object]]:
    for setting in dataclasses.fields(kind):
        if isinstance(setting.default_factory, type):
            yield from settings_of(setting.default_factory, f"{path}{setting.name}.")
        else:
            yield f"{path}{setting.name}", setting.default


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {}
    for cells in rows("reference/configuration.md"):
        names = cells[0].split(", ")
        defaults = cells[3].split(", ") if len(names) > 1 else [cells[3]]
        documented |= dict(zip(names, defaults, strict=True))

    for name, default in settings_of(Config):
        assert name in documented
        if default is not dataclasses.MISSING:
            assert documented[name] == str(default), name


def commands_of(
    command: Any,  # noqa: ANN401  Typer does not export the type
    words: tuple[str, ...] = (),
) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    for name, child in children.items():
        if not child.hidden:
            yield from commands_of(child, (*words, name))
    if not children:
        yield " ".join(words), command


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def test_every_command_and_option_is_documented() -> None:
    by_title = sections(page("reference/cli.md"))
    shared = by_title["Options of all commands that talk to a server"]
    everywhere = by_title[""] + shared

    for words, command in commands_of(typer.main.get_command(app)):
        assert words in by_title, f"the command {words} is not documented"
        for option in command.params:
            for name in option.opts if option.param_type_name == "option" else ():
                assert f"`{name}`" in by_title[words] + everywhere, f"{words} {name}"


def test_every_variable_of_an_option_is_documented() -> None:
    text = page("reference/cli.md")

    for words, command in commands_of(typer.main.get_command(app)):
        for option in command.params:
            if option.envvar:
                assert f"`{option.envvar}`" in text, f"{words}: {option.envvar}"


def test_every_system_table_is_documented_with_its_columns(tmp_path: Path) -> None:
    page_rows = rows("reference/system-tables.md")
    documented = {cells[0]: cells[2] for cells in page_rows if len(cells) > 2}
    store, buffer = CatalogStore.open(LocalObjects(tmp_path)), HotBuffer()
    InternalTables(store)
    tables = SystemTables(LogRing())
    QueryService(store, buffer, tables).stop()
    shown = tables.tables(
        store.catalog, store.catalog.database("_internal"), Mentions("SHOW TABLES")
    )

    names = {name: table.schema.names for name, table in shown.items()}
    for name, found in [*names.items(), *HISTORY.items()]:
        columns = [
            re.sub(r" \(.*", "", c) for c in re.split(r", (?![A-Z`]*[A-Z])", documented[name])
        ]
        assert columns == list(found), name


def test_every_route_is_documented() -> None:
    text = page("reference/http.md")

    found = list(routes())

    assert len(found) > 20
    for method, path in found:
        line = rf"{method}\b[^\n]*{re.escape(path)}`"
        assert re.search(line, text), f"{method} {path}"


def routes() -> Iterator[tuple[str, str]]:
    text = (ROOT / "engine" / "http" / "app.py").read_text()
    names = dict(re.findall(r'^ *(\w+) = "(/.*)"$', text, re.MULTILINE))
    for method, written in re.findall(r'\("(GET|POST|PUT|DELETE)", ([^,]+),', text):
        path = names.get(written) or written.strip('f"')
        path = re.sub(r"\{(_[A-Z]+)\}", lambda found: names[found[1]], path)
        yield method, path.replace("{path:path}", "<path>").replace("{{id}}", "<id>")


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    pages += (ROOT / "plugins").rglob("*.md")

    for source in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", source.read_text()):
            if target.startswith(("http:", "https:")):
                continue
            path, _, anchor = target.partition("#")
            found = source if not path else (source.parent / path).resolve()
            assert found.exists(), f"{source}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
                assert anchor in slugs, f"{source}: {target}"
