"""What an environment of its own costs: the first build, a creation with a known lock, the disk.

    python -m tests.bench.bench_environments [rounds]

A server that is new each round is asked for a trigger that needs pandas and requests (target: at
most 2 s), then for more that need the same (at most 300 ms), for one that needs nothing, and for
one with a lock of its own that shares most packages. Beside them, in the same round, uv does the
first by itself: resolves, makes the environment and installs. A round before all others fills the
caches; it waits for the byte code, which is compiled in the background after a build.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import uv

from tests.serving import Server, eventually, serving

ASKED = ("pandas", "requests")
SAME = 5
PLUGIN = "def process_request(local, query, headers, body, args=None):\n    return {}\n"


def creation_s(server: Server, name: str, requirements: Iterable[str]) -> float:
    """Return the seconds until a trigger was created."""
    document: dict[str, object] = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": f"request:{name}",
        "plugin_filename": "empty.py",
        "trigger_settings": {},
        "disabled": False,
        "requirements": list(requirements),
    }
    began_s = time.perf_counter()
    answer = server.post_json("/api/v3/configure/processing_engine_trigger", document)
    assert answer.status == 200, answer.text
    return time.perf_counter() - began_s


def bare_s(folder: Path, cache: Path) -> float:
    """Return the seconds that uv takes for the same by itself, without lock, probe or walls."""
    folder.mkdir()
    (folder / "asked.txt").write_text("\n".join(ASKED))
    common = ("--quiet", "--cache-dir", str(cache), "--no-config")
    python = ("--python", sys.executable)
    steps = (
        ("pip", "compile", "--generate-hashes", "asked.txt", "-o", "lock.txt", *python, *common),
        ("venv", "env", *python, *common),
        ("pip", "sync", "--require-hashes", "lock.txt", "--python", "env/bin/python", *common),
    )
    began_s = time.perf_counter()
    for step in steps:
        subprocess.run([uv.find_uv_bin(), *step], cwd=folder, check=True, timeout=300)
    return time.perf_counter() - began_s


def disk_bytes(folders: Iterable[Path], seen: set[int]) -> tuple[int, int]:
    """Return the bytes that files show, and those that they add to the disk; `seen` are inodes."""
    shown = added = 0
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_symlink() or not path.is_file():
                continue
            status = path.stat()
            shown += status.st_size
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                added += status.st_size
    return shown, added


def round_of(
    folder: Path, cache: Path, bare_cache: Path, wait: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Measure once, on a new server with a cache, and uv with another; wait before the end."""
    options = ("--package-cache-dir", str(cache))
    with serving(folder, *options) as server:
        server.create_database("db")
        server.plugin("empty.py", PLUGIN)
        figures = {"nothing": creation_s(server, "nothing", ())}
        figures["bare"] = bare_s(folder / "bare", bare_cache)
        figures["first"] = creation_s(server, "first", ASKED)
        same = [creation_s(server, f"same{n}", ASKED) for n in range(SAME)]
        figures["known"] = statistics.median(same)
        creation_s(server, "more", (*ASKED, "iniconfig"))
        rows = server.sql(
            "db",
            "SELECT size_bytes FROM system.processing_engine_environments "
            "WHERE state = 'ready' AND trigger_name IS NOT NULL",
        )
        apart = sum(row["size_bytes"] for row in rows)
        wait()
    environments = folder / "data" / "node0" / "environments"
    cached: set[int] = set()
    disk_bytes([cache], cached)
    shown, added = disk_bytes([environments], cached)
    return figures | {"apart": apart, "shown": shown, "added": added}


def wait_for_byte_code(cache: Path) -> None:
    """Wait until all packages in a cache are compiled."""
    archives = list(cache.glob("uv/archive-*/*"))
    eventually(lambda: len(list(cache.glob("uv/bytecode-*/*/*"))) >= len(archives), within_s=120)


def main(rounds: int = 3) -> None:
    """Print the medians of some rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, uvs = folder / "ours", folder / "uvs"
        cold = round_of(folder / "cold", ours, uvs, lambda: wait_for_byte_code(ours))
        found = [round_of(folder / str(n), ours, uvs) for n in range(rounds)]
    median = {key: statistics.median(one[key] for one in found) for key in found[0]}
    print(json.dumps({"rounds": found}, default=round))
    first, bare = median["first"], median["bare"]
    print(f"first build, nothing cached: {cold['first']:.2f} s, uv alone {cold['bare']:.2f} s")
    print(f"first build, warm cache:  {first:.2f} s = {first / bare:.2f} x uv alone ({bare:.2f} s)")
    known, nothing = median["known"], median["nothing"]
    print(
        f"known lock:               {known * 1e3:.0f} ms, without packages {nothing * 1e3:.0f} ms"
    )
    mib = {key: median[key] / 2**20 for key in ("apart", "shown", "added")}
    print(
        f"disk, {SAME + 2} triggers, 2 locks: {mib['apart']:.0f} MiB if each had its own, "
        f"{mib['shown']:.0f} MiB in the environments, {mib['added']:.1f} MiB beside the cache: "
        f"{1 - mib['added'] / mib['apart']:.1%} saved"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
