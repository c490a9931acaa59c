"""Reading the policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.sandbox import seccomp
from engine.sandbox.seccomp.rules import VARIANTS, Argument, Rule, read_policy

FOLDER = Path(seccomp.__file__).parent
TEXT = (FOLDER / "policy.toml").read_text(encoding="utf-8")
HEAD = """
newest = 9
[unassigned]
x86_64 = [[3, 4]]
[[missing]]
why = "w"
calls = ["old"]
"""


def group(body: str) -> str:
    return f'{HEAD}\n[[allow]]\nname = "n"\nwhy = "w"\n{body}\n'


def test_values_of_several_arguments_are_combined() -> None:
    body = (
        'calls = ["a"]\nargs = [{index = 0, values = [1, 2]}, {index = 1, bits = 64, values=[0]}]'
    )

    policy = read_policy(group(body), "plain")

    second = Argument(1, 2**64 - 1, 0)
    assert policy.rules == (
        Rule("old", "missing"),
        Rule("a", "allow", (Argument(0, 2**32 - 1, 1), second)),
        Rule("a", "allow", (Argument(0, 2**32 - 1, 2), second)),
    )
    assert (policy.newest, policy.unassigned) == (9, {"x86_64": ((3, 4),)})


@pytest.mark.parametrize(
    ("condition", "variants"),
    [
        ("", set(VARIANTS)),
        ('with = ["network"]', {"network", "network-subprocess"}),
        ('with = ["network", "subprocess"]', set(VARIANTS) - {"plain"}),
        ('without = "subprocess"', {"plain", "network"}),
    ],
)
def test_a_group_belongs_to_variants(condition: str, variants: set[str]) -> None:
    text = group(f'{condition}\ncalls = ["a"]')

    assert {v for v in VARIANTS if len(read_policy(text, v).rules) == 2} == variants


@pytest.mark.parametrize(
    "body",
    [
        'calls = ["a", "a"]',
        'calls = ["old"]',
        'calls = ["a"]\nargs = [{index = 0, mask = 1, values = [2]}]',
        'calls = ["a"]\n[[allow]]\nname="n"\nwhy="w"\ncalls=["a"]\nargs=[{index=0, values=[1]}]',
        'calls = ["b"]\n[[allow]]\nname="n"\nwhy=""\ncalls=["a"]',
    ],
)
def test_slips_in_the_policy_are_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"rules for|never hold|without a name"):
        read_policy(group(body), "plain")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_call_of_the_policy_exists(variant: str) -> None:
    table = json.loads((FOLDER / "numbers.json").read_text(encoding="utf-8"))
    known = {call for arch in seccomp.ARCHITECTURES for call in table[arch]}

    assert {rule.call for rule in read_policy(TEXT, variant).rules} - known == set()
