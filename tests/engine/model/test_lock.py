"""Locks and pins: their ids, what they hold, what a change of one comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.lock import (
    MAX_HISTORY,
    Asked,
    Pin,
    Reason,
    Switch,
    change_between,
    change_of,
    lock_of,
    packages_of,
)

TEXT = """\
numpy==2.1.0 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
Zope.Interface[test]==7.0.post1 ; sys_platform == "linux" \\
    --hash=sha256:cccc
odd===2024+local
"""
ASKED = Asked(("numpy",))
versions = st.dictionaries(
    st.sampled_from(["adtk", "numpy", "pandas", "scipy"]), st.sampled_from(["1.0", "2.0"])
)


def test_packages_of_a_lock_have_normalized_names_and_versions() -> None:
    expected = {"numpy": "2.1.0", "odd": "2024+local", "zope-interface": "7.0.post1"}

    assert packages_of(TEXT) == expected


@pytest.mark.parametrize("text", ["", "\n", "# a comment\n", "    --hash=sha256:aa==bb\n"])
def test_lines_that_pin_nothing_are_no_packages(text: str) -> None:
    assert packages_of(text) == {}


def test_the_same_list_for_the_same_python_and_machine_is_the_same_lock() -> None:
    lock = lock_of("3.11", "linux-x86_64", TEXT)

    assert lock == lock_of("3.11", "linux-x86_64", TEXT)
    assert len(lock.id) == 16


@pytest.mark.parametrize(
    ("python", "platform", "text"),
    [
        ("3.12", "linux-x86_64", TEXT),
        ("3.11", "linux-aarch64", TEXT),
        ("3.11", "linux-x86_64", ""),
    ],
)
def test_another_python_machine_or_list_is_another_lock(
    python: str, platform: str, text: str
) -> None:
    assert lock_of(python, platform, text).id != lock_of("3.11", "linux-x86_64", TEXT).id


def test_sources_say_nothing_about_what_is_asked() -> None:
    asked = Asked(("numpy",), ">=3.11", ("a.py line 2",))

    assert asked == Asked(("numpy",), ">=3.11")
    assert asked != Asked(("numpy",), ">=3.12")


def test_a_pin_remembers_where_it_came_from() -> None:
    pin = pinned("a", "b", "c")

    assert pin.lock_id == "c"
    assert pin.previous == "b"
    assert [switch.lock_id for switch in pin.history] == ["a", "b", "c"]


def test_the_way_back_from_a_way_back_leads_forth_again() -> None:
    assert pinned("a", "b", "a").previous == "b"


def test_a_first_pin_has_nothing_before_it() -> None:
    assert pinned("a").previous is None


def test_a_switch_to_the_lock_in_service_changes_what_is_asked_alone() -> None:
    pin = pinned("a", "b")

    again = pin.switched(Switch("b", 9, Reason.UPDATED, Asked(("scipy",))))

    assert (again.asked, again.lock_id) == (Asked(("scipy",)), "b")
    assert [(s.lock_id, s.at_ns, s.reason) for s in again.history] == [
        (s.lock_id, s.at_ns, s.reason) for s in pin.history
    ]


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=30))
def test_history_is_bounded_and_ends_with_the_lock_in_service(ids: list[str]) -> None:
    pin = pinned(*ids)

    assert len(pin.history) <= MAX_HISTORY
    assert pin.history[-1].lock_id == pin.lock_id == ids[-1]
    assert pin.previous != pin.lock_id


@given(versions, versions)
def test_a_change_leads_from_the_packages_before_to_those_after(
    before: dict[str, str], after: dict[str, str]
) -> None:
    change = change_of(before, after)

    kept = {name: version for name, version in before.items() if name not in change.removed}
    now = {name: pair[1] for name, pair in change.changed.items()}
    assert {**kept, **now, **change.added} == after
    assert all(before[name] == pair[0] != pair[1] for name, pair in change.changed.items())


def test_a_change_between_locks_names_both() -> None:
    before = lock_of("3.11", "linux-x86_64", "a==1\nb==1\n")
    after = lock_of("3.12", "linux-x86_64", "b==2\nc==1\n")

    assert change_between(before, after).to_json() == {
        "lock": after.id,
        "previous": before.id,
        "python": "3.12",
        "added": {"c": "1"},
        "removed": {"a": "1"},
        "changed": {"b": ["1", "2"]},
    }


def test_a_change_from_nothing_to_nothing_is_empty() -> None:
    assert change_between(None, None) == change_of({}, {})


def pinned(first: str, *others: str) -> Pin:
    pin = Pin((Switch(first, 0, Reason.CREATED, ASKED),))
    for at_ns, lock_id in enumerate(others, start=1):
        pin = pin.switched(Switch(lock_id, at_ns, Reason.UPGRADED, ASKED))
    return pin
