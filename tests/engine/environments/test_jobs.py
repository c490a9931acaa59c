"""Whom an environment is for, in words that a shell takes as they were meant."""

from __future__ import annotations

from engine.environments.jobs import SHARED_LABEL, Label


def test_options_name_a_trigger_whatever_it_is_called() -> None:
    assert Label("db", "my trigger; rm x").options == "'my trigger; rm x' --database db"
    assert Label("db", "t").options == "t --database db"
    assert SHARED_LABEL.options == "--shared"
