"""What installers say, and what is made of it; their words as they were."""

from __future__ import annotations

import pytest

from engine.environments.failures import (
    InstallFailed,
    PackagesUnavailable,
    failure_in,
    is_uncached,
    is_unreachable,
    unreachable,
)
from engine.model.lock import Asked

CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31, we \
can conclude that you require urllib3>=1.21.1,<3.
         And because you require urllib3<1.20, we can conclude that your requirements are \
unsatisfiable.
"""
NO_WHEEL = """\
error: No solution found when resolving dependencies
  cause: Because only pyspark<=3.2.4 is available and it has no usable wheels, we can conclude \
that your requirements are unsatisfiable.

hint: Wheels are required for `pyspark` because building from source is disabled for all packages \
(i.e., with `--no-build`)
"""
REFUSED = """\
error: Request failed after 1 retry in 1.2s
  cause: Failed to fetch: http://127.0.0.1:9/simple/six/
  cause: error sending request for url (http://127.0.0.1:9/simple/six/)
  cause: client error (Connect)
  cause: Connection refused (os error 111)
"""
BEHIND_PROXY = """\
error: Request failed after 1 retry in 1.9s
  cause: Failed to fetch: http://index.example/simple/six/
  cause: HTTP status server error (502 cannot connect) for url (http://index.example/simple/six/)
"""
UNCACHED = """\
error: No solution found when resolving dependencies
  cause: Because six was not found in the cache and you require six, we can conclude that your \
requirements are unsatisfiable.
hint: Packages were unavailable because the network was disabled.
"""
UNCACHED_FILE = """\
error: Failed to download `tzdata==2026.6`
  cause: Network connectivity is disabled, but the requested data wasn't found in the cache: \
https://files.example/packages/0a/tzdata-2026.6-py2.py3-none-any.whl
"""
PIP_CONFLICT = """\
Looking in links: /opt/wheels
Collecting requests==2.31
  Using cached requests-2.31.0-py3-none-any.whl.metadata (4.6 kB)
INFO: pip is looking at multiple versions of requests. This could take a while.
ERROR: Cannot install requests==2.31.0 and urllib3<1.20 because these package versions have \
conflicting dependencies.
The conflict is caused by:
    The user requested urllib3<1.20
    requests 2.31.0 depends on urllib3<3 and >=1.21.1
To fix this you could try to:
1. loosen the range of package versions you've specified
2. remove package versions to allow pip to attempt to solve the dependency conflict
ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/
"""
PIP_REFUSED = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError(\
"HTTPConnection(host='127.0.0.1', port=9): Failed: [Errno 111] Connection refused")': /simple/six/
ERROR: Could not find a version that satisfies the requirement six (from versions: none)
ERROR: No matching distribution found for six
"""
NOTHING = Asked()


def test_of_the_versions_that_pip_lists_the_newest_are_told() -> None:
    versions = ", ".join(f"1.{minor}" for minor in range(99))
    text = str(failure_in(1, f"ERROR: no version of six (from versions: {versions})", NOTHING))
    missing = str(failure_in(1, "ERROR: no version of six (from versions: none)", NOTHING))

    assert text == "no version of six (from versions: ..., 1.94, 1.95, 1.96, 1.97, 1.98)"
    assert missing.endswith("what has no wheel needs: bulkhead serve --build-from-source.")


def test_a_conflict_is_told_with_both_sides_and_where_they_stand() -> None:
    asked = Asked(
        ("requests==2.31", "urllib3<1.20", "url"), "", ("needs.py line 3", "", "needs.py line 4")
    )

    failure = failure_in(1, CONFLICT, asked)

    assert isinstance(failure, PackagesUnavailable)
    assert str(failure) == (
        "Because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31, "
        "we can conclude that you require urllib3>=1.21.1,<3. And because you require "
        "urllib3<1.20, we can conclude that your requirements are unsatisfiable. "
        "(requests==2.31 stands in needs.py line 3)"
    )


def test_what_pip_says_besides_is_left_out() -> None:
    failure = failure_in(1, PIP_CONFLICT, NOTHING)

    assert str(failure) == (
        "Cannot install requests==2.31.0 and urllib3<1.20 because these package versions have "
        "conflicting dependencies. The conflict is caused by: The user requested urllib3<1.20 "
        "requests 2.31.0 depends on urllib3<3 and >=1.21.1"
    )


def test_who_needs_a_build_is_told_the_setting() -> None:
    text = str(failure_in(1, NO_WHEEL, NOTHING))

    assert "pyspark<=3.2.4" in text
    assert text.endswith("with: bulkhead serve --build-from-source.")
    assert "--no-build" not in text


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (REFUSED, "reached at 127.0.0.1:9: Connection refused (os error 111)."),
        (BEHIND_PROXY, "at index.example: HTTP status server error (502 cannot connect)."),
        (PIP_REFUSED, "reached at 127.0.0.1:9: [Errno 111] Connection refused."),
    ],
)
@pytest.mark.parametrize("status", [1, 2])
def test_an_index_that_does_not_answer_is_our_failure_and_named(
    output: str, told: str, status: int
) -> None:
    failure = failure_in(status, output, NOTHING)

    assert is_unreachable(output)
    assert isinstance(failure, InstallFailed)
    assert told in str(failure)
    assert "--wheel-dir" in str(failure)


@pytest.mark.parametrize(
    ("missed", "told"), [(UNCACHED, "six"), (UNCACHED_FILE, "tzdata-2026.6-py2.py3-none-any.whl")]
)
def test_what_the_cache_lacks_is_named(missed: str, told: str) -> None:
    assert is_uncached(missed)
    assert f"Not in the package cache: {told}." in str(unreachable(REFUSED, missed))


@pytest.mark.parametrize("output", [CONFLICT, NO_WHEEL, PIP_CONFLICT])
def test_a_conflict_is_no_matter_of_the_network(output: str) -> None:
    assert not is_unreachable(output)
    assert not is_uncached(output)


@pytest.mark.parametrize(
    ("status", "output", "told"),
    [
        (2, "error: No space left on device (os error 28)\n", "No space left on device"),
        (139, "", "ended with status 139"),
        (1, "/usr/bin/python3.11: No module named pip\n", "No module named pip"),
    ],
)
def test_all_else_is_our_failure(status: int, output: str, told: str) -> None:
    failure = failure_in(status, output, NOTHING)

    assert isinstance(failure, InstallFailed)
    assert told in str(failure)


def test_hashes_of_a_lock_are_counted_and_the_wrong_one_is_told() -> None:
    known = "\n".join(f"      sha256:{n:064x}" for n in range(60))
    wrong = f"sha256:{99:064x}"
    output = f"error: Hash mismatch for `six==1.0`\n\nExpected:\n{known}\n\nComputed:\n  {wrong}\n"

    error = failure_in(1, output, Asked())

    assert str(error) == f"Hash mismatch for `six==1.0` Expected: one of 60 Computed: {wrong}"
