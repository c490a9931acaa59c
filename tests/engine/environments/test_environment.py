"""The plugins' Python environment and what its interpreter needs."""

import sys
from pathlib import Path

from engine.environments.environment import open_environment


def test_where_its_python_is_installed_is_known(tmp_path: Path) -> None:
    opened = open_environment(tmp_path / ".venv")

    installed = Path(sys.base_prefix).resolve()
    assert any(prefix in (installed, *installed.parents) for prefix in opened.prefixes)


def test_folders_that_links_to_its_python_lead_through_are_known(tmp_path: Path) -> None:
    environment = tmp_path / ".venv"
    open_environment(environment)
    python = environment / "bin" / "python"
    detour = tmp_path / "detour"
    detour.mkdir()
    (detour / "python").symlink_to(python.readlink())
    python.unlink()
    python.symlink_to(detour / "python")

    assert detour.resolve() in open_environment(environment).prefixes
