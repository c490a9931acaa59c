"""The report at the end, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.demo.figures import Check, Crash, Figures, is_near
from engine.demo.load import Wait, percentile
from engine.demo.scenario import DATABASE, Scenario, Trigger

__all__ = ["show_commands", "show_report"]

_MS_PER_S = 1000
_SHOWN_LAST_WORDS = 8


def show_report(
    console: Console,
    figures: Figures,
    kept: Sequence[Check],
    triggers: Sequence[Trigger],
    scenario: Scenario,
) -> None:
    """Print what happened, what broke, and what it cost the others."""
    per_s = figures.acknowledged / scenario.duration_s
    console.print(
        f"\nRows in: {figures.acknowledged:,} durable ({per_s:,.0f} a second), "
        f"from {scenario.writers} connections",
        style="bold",
        highlight=False,
    )
    console.print(_tables(figures, triggers))
    console.print(_waits(figures))
    for crash in figures.crashes:
        _show_crash(console, crash)
    console.print("\nWhat it cost the others, as measured:", style="bold")
    for check in kept:
        mark = Text("  kept    ", "green") if check.is_kept else Text("  BROKEN  ", "bold red")
        console.print(mark + Text(f"{check.promise}: {check.measured}", ""))


def show_commands(console: Console, url: str) -> None:
    """Print how to look around in the server that is kept."""
    query = f"./bulkhead query --host {url} -d {DATABASE}"
    logs = "SELECT trigger_name, log_level, log_text FROM system.processing_engine_logs"
    commands = (
        f"curl '{url}/api/v3/engine/summary?last_s=3600'",
        f"{query} 'SELECT * FROM alerts ORDER BY time'",  # noqa: S608  shown, not run
        f"{query} \"{logs} WHERE log_level = 'ERROR'\"",
        f"./bulkhead write --host {url} -d {DATABASE} 'climate,room=attic,sensor=me degrees=35'",
        f"./bulkhead show system --host {url} -d {DATABASE} table processing_engine_triggers",
    )
    console.print(f"\nThe server stays up at {url}; Ctrl-C ends it. Try:", style="bold")
    for command in commands:
        console.print(f"  {command}", highlight=False, soft_wrap=True)


def _tables(figures: Figures, triggers: Sequence[Trigger]) -> Table:
    table = Table("table", "written by", "runs on")
    table.add_column("rows", justify="right")
    for name, rows in sorted(figures.written.items()):
        writing = [trigger for trigger in triggers if name in trigger.tables]
        plugins = ", ".join(trigger.plugin.partition("/")[0] for trigger in writing)
        table.add_row(name, plugins, ", ".join(t.spec for t in writing), f"{rows:,}")
    return table


def _waits(figures: Figures) -> Table:
    table = Table("what clients waited for")
    for title in ("count", "p50", "p99", "longest"):
        table.add_column(title, justify="right")
    table.add_row("write, until durable", *_row(figures.writes.waits))
    table.add_row("request to a plugin that queries", *_row(figures.requests.waits))
    for crash in figures.crashes:
        near = [wait for wait in figures.writes.waits if is_near(wait, crash)]
        table.add_row("write, in the second after the crash", *_row(near))
    return table


def _row(waits: Sequence[Wait]) -> tuple[str, str, str, str]:
    took_s = [wait.took_s for wait in waits]
    shown = (percentile(took_s, 0.5), percentile(took_s, 0.99), max(took_s, default=0.0))
    p50, p99, longest = (f"{seconds * _MS_PER_S:.1f} ms" for seconds in shown)
    return f"{len(took_s):,}", p50, p99, longest


def _show_crash(console: Console, crash: Crash) -> None:
    console.print("\nWhat crashed, from system.processing_engine_logs:", style="bold")
    console.print(f"  victim: {crash.reason}", style="red", highlight=False)
    for line in crash.last_words.splitlines()[:_SHOWN_LAST_WORDS]:
        console.print(f"    {line}", style="dim", highlight=False, markup=False, soft_wrap=True)
    if crash.redelivered_ms is not None:
        console.print(
            f"  a new worker had done the same event {crash.redelivered_ms:.0f} ms later",
            highlight=False,
        )
