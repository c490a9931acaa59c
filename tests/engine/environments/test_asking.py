"""What plugins ask for: where it stands, how it is spelled, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.environments.asking import (
    PluginTexts,
    RequirementsInvalid,
    asked_in_file,
    asked_in_list,
    asked_of,
    joined,
    replaced,
)
from engine.model.lock import Asked

SCRIPT = """\
#!/usr/bin/env python
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "Pandas<3,>=2",
#
#   'adtk',
# ]
# ///
import adtk
"""
MANIFEST = """\
manifest_schema_version = "1.3"
[dependencies]
database_version = ">=3.0.0"
python = ["influxdata-plugin-utils>=0.3.0", "pandas<3"]
[[dependencies.plugins]]
name = "notifier"
version = ">=1.0.0,<2.0.0"
"""


def test_a_single_file_asks_by_its_block() -> None:
    asked = asked_of(PluginTexts("needs.py", SCRIPT))

    assert asked == Asked(("adtk", "pandas<3,>=2"), ">=3.11")
    assert asked.sources == ("needs.py line 7", "needs.py line 5")


def test_all_files_of_a_folder_count_together_with_the_trigger() -> None:
    texts = PluginTexts(
        "mine",
        script='# /// script\n# dependencies = ["a"]\n# requires-python = ">=3.11"\n# ///\n',
        requirements="b==1 \\\n  --hash=sha256:aa --hash=sha256:bb  # why\n\nc\n",
        pyproject='[project]\nname="x"\ndependencies = ["d"]\nrequires-python = "<3.13"\n',
        manifest=MANIFEST,
    )

    asked = asked_of(texts, ["e[z,y] ; python_version >= '3.11'", "A"])

    assert asked is not None
    assert dict(zip(asked.requirements, asked.sources, strict=True)) == {
        "a": "mine/__init__.py line 2",
        "b==1": "mine/requirements.txt line 1",
        "c": "mine/requirements.txt line 4",
        "d": "mine/pyproject.toml line 3",
        'e[y,z]; python_version >= "3.11"': "the trigger's requirements",
        "influxdata-plugin-utils>=0.3.0": "mine/manifest.toml line 4",
        "pandas<3": "mine/manifest.toml line 4",
    }
    assert asked.python == "<3.13,>=3.11"


def test_a_manifest_beside_a_single_file_counts_when_the_file_says_nothing() -> None:
    asked = asked_of(PluginTexts("x/detector.py", "import adtk\n", manifest=MANIFEST))

    assert asked is not None
    assert asked.requirements == ("influxdata-plugin-utils>=0.3.0", "pandas<3")
    assert asked.sources == ("x/manifest.toml line 4", "x/manifest.toml line 4")


def test_the_block_of_a_single_file_wins_over_the_manifest_beside_it() -> None:
    asked = asked_of(PluginTexts("x/needs.py", SCRIPT, manifest=MANIFEST))

    assert asked == Asked(("adtk", "pandas<3,>=2"), ">=3.11")


@pytest.mark.parametrize(
    "texts",
    [
        PluginTexts("p.py"),
        PluginTexts("p.py", "import os\n"),
        PluginTexts("p.py", "# /// script\n# dependencies = ["),
        PluginTexts("p.py", "# /// script\n# dependencies = []\n# ///\n"),
        PluginTexts("p.py", '# /// other\n# dependencies = ["a"]\n# ///\n'),
        PluginTexts("p.py", '# /// script\n# dependencies = ["a"]\n\n# ///\n'),
        PluginTexts("f", "", "# nothing\n", "[tool.x]\n", '[plugin]\nname = "n"\n'),
    ],
)
def test_who_names_nothing_asks_for_nothing(texts: PluginTexts) -> None:
    assert asked_of(texts) is None


def test_a_version_of_python_alone_is_a_wish() -> None:
    texts = PluginTexts("p.py", '# /// script\n# requires-python = "~=3.12"\n# ///\n')

    assert asked_of(texts) == Asked((), "~=3.12")


def test_windows_lines_and_a_mark_of_byte_order_do_no_harm() -> None:
    text = "\ufeff" + SCRIPT.partition("\n")[2].replace("\n", "\r\n")

    assert asked_of(PluginTexts("p.py", text)) == Asked(("adtk", "pandas<3,>=2"), ">=3.11")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("-r other.txt", "line 2: '-r other.txt' is an option; a plugin says only which"),
        ("--index-url https://a", "is an option"),
        ("-e .", "is an option"),
        ("./here", "'./here' is a path or an address; name a package of the index"),
        ("../x.whl", "is a path or an address"),
        ("adtk-1-py3-none-any.whl", "is a path or an address"),
        ("git+https://a/b@main", "is a path or an address"),
        ("adtk @ file:///x.whl", "is a path or an address"),
        ("adtk @ https://a/b.zip", "is a path or an address"),
        ("adtk >> 1", "'adtk >> 1' is no requirement, as 'pandas>=2,<3': Expected"),
        ("adtk --pre", "is no requirement"),
        ("adtk>=one", "is no requirement"),
        ("adtk ; \ud800", "is too long, or not printable"),
        ("a" * 2001, "is too long"),
    ],
)
def test_what_is_no_package_of_an_index_is_refused_with_its_place(
    line: str, complaint: str
) -> None:
    with pytest.raises(RequirementsInvalid) as caught:
        asked_of(PluginTexts("f", "", f"\n{line}\n"))

    assert str(caught.value).startswith("f/requirements.txt line 2: ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (
            PluginTexts("p.py", SCRIPT + SCRIPT),
            "p.py: line 12: a second block '# /// script'",
        ),
        (PluginTexts("p.py", "# /// script\n# x = = 1\n# ///\n"), "p.py line 2: not TOML: "),
        (
            PluginTexts("p.py", '# /// script\n# dependencies = "a"\n# ///\n'),
            "p.py: dependencies is not a list of texts",
        ),
        (
            PluginTexts("p.py", "# /// script\n# dependencies = [1]\n# ///\n"),
            "p.py: dependencies is not a list of texts",
        ),
        (
            PluginTexts("p.py", '# /// script\n# requires-python = "new"\n# ///\n'),
            "p.py: requires-python = 'new' is no version of Python; write >=3.11",
        ),
        (
            PluginTexts("p.py", "# /// script\n# requires-python = 3.11\n# ///\n"),
            "p.py: requires-python = '3.11' is no version of Python",
        ),
        (PluginTexts("f", manifest="dependencies = 1"), "f/manifest.toml: [dependencies] is not a"),
        (
            PluginTexts("f", pyproject="[project]\ndependencies = ['-e .']"),
            "f/pyproject.toml line 2",
        ),
        (PluginTexts("f", manifest="a = " + "[" * 5000), "f/manifest.toml line 1: not TOML"),
        (PluginTexts("f", manifest="a = " + "1" * 5000), "f/manifest.toml line 1: not TOML"),
        (PluginTexts("f", requirements="a\n" * 501), "requirements.txt line 501: more than 500"),
    ],
)
def test_files_that_cannot_be_read_are_named(texts: PluginTexts, complaint: str) -> None:
    with pytest.raises(RequirementsInvalid) as caught:
        asked_of(texts)

    assert str(caught.value).partition(complaint)[1] == complaint


def test_more_than_500_from_several_places_are_refused() -> None:
    lines = "".join(f"a{n}\n" for n in range(300))

    with pytest.raises(RequirementsInvalid, match="more than 500 requirements"):
        joined(asked_in_file(lines, "x"), asked_in_file(lines.replace("a", "b"), "y"))


def test_newer_requirements_replace_those_of_the_same_package() -> None:
    before = asked_in_list(["Numpy<2", "adtk"], "before")

    asked = replaced(before, asked_in_list(["numpy>=2", "scipy"], "now"))

    assert asked.requirements == ("adtk", "numpy>=2", "scipy")
    assert asked.sources == ("before", "now", "now")


NAMES = st.sampled_from(["adtk", "Zope.Interface", "a_b", "x[y]", "n>=1,<2", "n<2, >=1.0"])


@given(st.lists(NAMES, max_size=5))
def test_the_same_wish_is_one_wish_in_any_order_and_spelling(names: list[str]) -> None:
    asked = asked_in_list(names, "s")

    assert asked == asked_in_list([f" {n.upper()} " for n in reversed(names)], "t")
    assert asked_in_list(asked.requirements, "u") == asked
    assert list(asked.requirements) == sorted(set(asked.requirements))


ROUGH = st.text(st.sampled_from("# /script\n\\[]\"'=-;<>@.adep\u2028\r"), max_size=60)
BLOCK = ROUGH.map(lambda text: "# /// script\n# " + text.replace("\n", "\n# ") + "\n# ///\n")


@given(ROUGH | BLOCK, st.none() | ROUGH, st.none() | ROUGH, st.none() | ROUGH)
def test_garbage_asks_for_something_or_is_refused(
    script: str, requirements: str | None, pyproject: str | None, manifest: str | None
) -> None:
    try:
        asked = asked_of(PluginTexts("f", script, requirements, pyproject, manifest))
    except RequirementsInvalid:
        return

    assert asked is None or asked_in_list(asked.requirements, "again").requirements == (
        asked.requirements
    )


HOSTILE = {
    "spaces before a word": PluginTexts("p", requirements="x" + " " * 250_000 + "y"),
    "hashes without an end": PluginTexts("p", requirements="x" + " --hash=a" * 28_000 + " !"),
    "a key of many parts": PluginTexts("p", pyproject="a." * 120_000 + "a = 1"),
    "a header of many parts": PluginTexts("p", pyproject="[" + "a." * 120_000 + "a]"),
    "lists in lists": PluginTexts("p", pyproject="a = " + "[" * 200_000),
    "parentheses": PluginTexts("p", requirements=f"x; {'(' * 900}python_version > '3'{')' * 900}"),
    "a block": PluginTexts("p.py", f"# /// script\n# {'a.' * 2_000_000}a = 1\n# ///\n"),
    "versions of Python": PluginTexts(
        "p", pyproject=f'[project]\nrequires-python = "{">=3," * 40_000}>=3"'
    ),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("texts", HOSTILE.values(), ids=HOSTILE)
def test_what_takes_long_to_read_is_refused_at_once(texts: PluginTexts) -> None:
    with pytest.raises(RequirementsInvalid):
        asked_of(texts)


@pytest.mark.timeout(10)
def test_places_in_a_long_text_are_found_in_one_pass() -> None:
    listed = ", ".join(f'"\\u0061{number}"' for number in range(500))
    text = "\n" * 200_000 + f"[project]\ndependencies = [{listed}]"

    asked = asked_of(PluginTexts("p", pyproject=text))

    assert asked is not None
    assert set(asked.sources) == {"p/pyproject.toml"}


@pytest.mark.parametrize("line", ["root:$6$secret:20228::", "-i https://u:secret@host", "./secret"])
def test_a_file_that_was_only_named_is_not_shown(line: str) -> None:
    with pytest.raises(RequirementsInvalid, match=r"^/etc/x line 2: what stands there") as refused:
        asked_in_file(f"six\n{line}\n", "/etc/x", is_told=False)

    assert "secret" not in str(refused.value)
