"""What is not the user's own is not installed into."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.environments.backend import Supply
from engine.environments.enclosed import EnclosedRun
from engine.environments.environment import open_environment
from engine.environments.installation import Wanted
from engine.environments.installer import Installer
from engine.errors import InvalidParameter


def test_an_environment_that_a_server_has_built_is_left_alone(tmp_path: Path) -> None:
    environment = open_environment(tmp_path / "env")
    (environment.root / "environment.json").write_text("{}")
    told: list[str] = []
    installer = Installer(
        lambda: environment,
        "discover",
        EnclosedRun.unconfined(tmp_path / "runs"),
        Supply(tmp_path / "cache"),
        note_change=lambda: told.append("changed"),
        on_changed=lambda: told.append("renew"),
    )

    with pytest.raises(InvalidParameter, match="of another server"):
        installer.submit(Wanted(("six",))).result(30)

    installer.stop()
    assert told == []
