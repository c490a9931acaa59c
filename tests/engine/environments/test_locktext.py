"""One spelling for locks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.environments.failures import InstallFailed
from engine.environments.locktext import canonical, from_report
from engine.model.lock import packages_of

A, B = "a" * 64, "b" * 64


def test_comments_options_and_addresses_are_left_out() -> None:
    text = canonical(
        "# made by uv at https://user:word@host/simple\n"
        "--index-url https://host/simple\n--extra-index-url https://h\n-f ./wheels\n\n"
        f"six==1.17.0 \\\n    --hash=sha256:{A}\n    # via pandas\n"
    )

    assert text == f"six==1.17.0 \\\n    --hash=sha256:{A}\n"


def test_order_and_spelling_do_not_matter() -> None:
    one = f"Zope.Interface==6.0 --hash=sha256:{B} --hash=sha256:{A}\nsix==1.0 --hash=sha256:{A}\n"
    other = (
        f"six==1.0 \\\n --hash=sha256:{A}\n"
        f"zope_interface[test]==6.0 \\\n --hash=sha256:{A} \\\n --hash=sha256:{B}\n"
    )

    assert canonical(one) == canonical(other)
    assert packages_of(canonical(one)) == {"six": "1.0", "zope-interface": "6.0"}


def test_markers_and_local_versions_are_kept() -> None:
    text = canonical(f"torch==2.1+cpu ; python_version > '3' --hash=sha256:{A}\n")

    assert text == f"torch==2.1+cpu ; python_version > '3' \\\n    --hash=sha256:{A}\n"
    assert packages_of(text) == {"torch": "2.1+cpu"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("six==1.0\n", "no hash for six 1.0"),
        ("six>=1.0 --hash=sha256:00\n", "exact version"),
        ("six @ https://host/six.whl --hash=sha256:00\n", "exact version"),
        ("./six.whl\n", "exact version"),
    ],
)
def test_what_is_no_part_of_a_lock_is_refused(text: str, told: str) -> None:
    with pytest.raises(InstallFailed, match=told):
        canonical(text)


names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
hashes = st.lists(st.from_regex(r"sha256:[0-9a-f]{8}", fullmatch=True), min_size=1, max_size=3)


@given(st.dictionaries(names, hashes, max_size=5))
def test_one_spelling_is_the_spelling_of_itself(found: dict[str, list[str]]) -> None:
    lines = (f"{n}==1.0 {' '.join(f'--hash={h}' for h in hs)}\n" for n, hs in found.items())

    text = canonical("".join(lines))

    assert canonical(text) == text
    assert set(packages_of(text)) == set(found)


def report(**changes: object) -> str:
    entry = {
        "is_direct": False,
        "metadata": {"name": "Six", "version": "1.17.0"},
        "download_info": {"url": "https://h/s.whl", "archive_info": {"hashes": {"sha256": A}}},
        **changes,
    }
    return json.dumps({"version": "1", "install": [entry]})


def test_a_report_of_pip_is_a_lock_without_addresses() -> None:
    assert from_report(report()) == f"six==1.17.0 \\\n    --hash=sha256:{A}\n"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"install": [{}]}', '{"install": [1]}'])
def test_garbage_is_no_report(text: str) -> None:
    with pytest.raises(InstallFailed, match="did not report"):
        from_report(text)


def test_a_report_with_an_address_is_refused() -> None:
    with pytest.raises(InstallFailed, match="Six comes from an address"):
        from_report(report(is_direct=True))
