"""The script `bulkhead` before it reaches the program, and what the repository must not contain."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What the script needs of a system, beside Python.
SYSTEM_TOOLS = ("sh", "awk", "cat", "cksum", "dirname", "head", "id", "mv", "readlink", "rm")


def run(
    script: Path, *args: str, path: Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "PYTHONPATH": "/nowhere", "BULKHEAD_NO_APT": "1"}
    argv = [shutil.which("sh") or "/bin/sh", str(script), *args]
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)


def write_program(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH that holds the system's tools and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in SYSTEM_TOOLS:
        (folder / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a space in its name that holds the script and what it reads."""
    folder = tmp_path / "check out"
    folder.mkdir()
    for name in ("bulkhead", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def prepared(checkout: Path, tools: Path) -> Path:
    """A checkout whose stamp is right and whose programs only tell how they were started."""
    for name in ("bulkhead", "pytest"):
        write_program(
            checkout / f".venv/bin/{name}", f'echo {name} "$#" "$*" "$PWD" "${{PYTHONPATH-}}"'
        )
    write_program(checkout / ".venv/bin/python", "exit 3")
    (checkout / ".venv/.bulkhead-stamp").write_text(stamp_of(checkout, tools))
    return checkout


def stamp_of(checkout: Path, tools: Path) -> str:
    files = ["requirements.lock", "pyproject.toml"]
    sums = subprocess.run(
        [str(tools / "cksum"), *files], cwd=checkout, capture_output=True, text=True, check=True
    )
    python = (checkout / ".venv/bin/python").resolve()
    return f"{checkout.resolve()}\n{python}\n{sums.stdout}"


def test_the_script_is_executable_and_every_shell_can_read_it() -> None:
    script = ROOT / "bulkhead"

    result = subprocess.run(["sh", "-n", str(script)], capture_output=True, check=False)

    assert (result.returncode, result.stderr) == (0, b"")
    assert os.access(script, os.X_OK)


def test_without_a_python_one_line_says_what_to_install(checkout: Path, tools: Path) -> None:
    result = run(checkout / "bulkhead", "demo", path=tools)

    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "python3-venv" in result.stderr


def test_an_old_python_is_not_taken(checkout: Path, tools: Path) -> None:
    write_program(tools / "python3", "echo /usr/bin/python3.10; exit 1")

    result = run(checkout / "bulkhead", "demo", path=tools)

    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr


def test_a_prepared_checkout_starts_the_program_at_once(prepared: Path, tools: Path) -> None:
    result = run(prepared / "bulkhead", "write", "a b", path=tools, cwd=tools)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"bulkhead 2 write a b {tools} \n"


def test_a_link_to_the_script_finds_the_checkout(prepared: Path, tools: Path) -> None:
    link = tools / "bh"
    link.symlink_to(Path("..") / prepared.name / "bulkhead")

    result = run(link, "show", path=tools, cwd=tools)

    assert result.stdout == f"bulkhead 1 show {tools} \n"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["test"], "pytest 4 -n 3 --dist worksteal "),
        (["test", "--"], "pytest 4 -n 3 --dist worksteal "),
        (["test", "--", "-k", "a b"], "pytest 2 -k a b "),
        (["test", "wal_plugin", "f.py"], "bulkhead 3 test wal_plugin f.py "),
        (["test", "--help"], "bulkhead 2 test --help "),
        ([], "bulkhead 0  "),
    ],
)
def test_only_bare_test_is_the_test_suite(
    prepared: Path, tools: Path, args: list[str], expected: str
) -> None:
    result = run(prepared / "bulkhead", *args, path=tools, cwd=prepared)

    assert result.stdout == f"{expected}{prepared} \n"


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_requirement_asks_for_a_new_environment(
    prepared: Path, tools: Path, name: str
) -> None:
    with (prepared / name).open("a") as file:
        file.write("\n")

    result = run(prepared / "bulkhead", "show", path=tools)

    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr


def test_a_moved_checkout_asks_for_a_new_environment(prepared: Path, tools: Path) -> None:
    moved = prepared.rename(prepared.with_name("moved"))

    result = run(moved / "bulkhead", "show", path=tools)

    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr


@pytest.fixture
def as_root(tools: Path) -> Path:
    """The tools of a root user, with an apt-get that records its arguments and fails."""
    (tools / "id").unlink()
    write_program(tools / "id", "echo 0")
    write_program(tools / "apt-get", f'echo "$*" >>{tools.parent}/apt-calls; exit 1')
    return tools


def start_as_root(checkout: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(tools / "sh"), str(checkout / "bulkhead"), "show"]
    env = {"PATH": str(tools)}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def test_a_failed_bubblewrap_is_a_warning_and_is_asked_for_once(
    prepared: Path, as_root: Path, tmp_path: Path
) -> None:
    first = start_as_root(prepared, as_root)
    calls = (tmp_path / "apt-calls").read_text()
    second = start_as_root(prepared, as_root)

    assert first.returncode == second.returncode == 0
    assert "warning: bubblewrap was not installed" in first.stderr
    assert [call.split()[0] for call in calls.splitlines()] == ["install", "update"]
    assert second.stderr == ""
    assert (tmp_path / "apt-calls").read_text() == calls


def test_bubblewrap_is_not_installed_when_that_is_forbidden(
    prepared: Path, as_root: Path, tmp_path: Path
) -> None:
    result = run(prepared / "bulkhead", "show", path=as_root)

    assert (result.returncode, result.stderr) == (0, "")
    assert not (tmp_path / "apt-calls").exists()


def test_the_lock_pins_everything_by_hash_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())

    assert all(re.match(r"[a-z0-9-]+==\S+", block) for block in blocks)
    assert all("--hash=sha256:" in block for block in blocks)
    assert re.search(r"//|--(extra-)?index|--find-links", text) is None


def test_the_lock_holds_every_requirement_of_the_project() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = (ROOT / "pyproject.toml").read_text()
    wanted = set(re.findall(r'^  "([a-z0-9-]+)(?:>=[\d.]+)?",', project, re.MULTILINE))

    assert "pyzmq" in wanted
    assert wanted - locked == set()


def tracked_texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = {name: ROOT / name for name in listed.stdout.split("\0") if name}
    return {
        name: file.read_text(encoding="utf-8", errors="replace")
        for name, file in files.items()
        if file.is_file()
    }


# An installer is let through to the hosts of the index that it takes when nobody names another.
NAME_THE_INDEX = {"engine/environments/hosts.py", "tests/engine/environments/test_hosts.py"}


def test_no_tracked_file_names_a_package_index_or_a_folder_of_this_machine() -> None:
    # The names are put together, so that this file does not find itself.
    indexes = ["pypi" + ".org", "python" + "hosted"]
    folders = [str(folder) for folder in (ROOT, Path.home()) if folder != folder.parent]
    marks = re.compile(
        "|".join([*map(re.escape, indexes), *(rf"(?<![\w./-]){re.escape(f)}/" for f in folders)])
    )

    found = {name for name, text in tracked_texts().items() if marks.search(text)}

    assert found == NAME_THE_INDEX
