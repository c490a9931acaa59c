"""What may be asked to be installed."""

import pytest

from engine.environments.requirements import PackageRefused, check_packages, check_requirements


@pytest.mark.parametrize(
    "package", ["pandas", "pandas>=2,<3", "a[b] ; python_version > '3'", "x @ https://h/x.whl"]
)
def test_names_of_packages_are_taken(package: str) -> None:
    check_packages([package, "six"])


@pytest.mark.parametrize("package", ["-x", "--index-url=http://h", " -r x", "-", "-e ./x"])
def test_options_are_no_packages(package: str) -> None:
    with pytest.raises(PackageRefused, match="is an option, not a package"):
        check_packages(["six", package])


@pytest.mark.parametrize("package", ["", " ", "a\nb", "a\0b", "x" * 2001])
def test_what_cannot_be_a_name_is_refused(package: str) -> None:
    with pytest.raises(PackageRefused, match="is not the name of a package"):
        check_packages([package])


@pytest.mark.parametrize("count", [0, 501])
def test_there_has_to_be_a_package_and_not_hundreds(count: int) -> None:
    with pytest.raises(PackageRefused, match=f"not {count}"):
        check_packages(["six"] * count)


def test_versions_hashes_comments_and_indexes_are_taken() -> None:
    check_requirements(
        "# needed by -e or not\n"
        "--index-url https://user:word@h/simple\n-i https://h\n--extra-index-url=https://h\n"
        "--find-links ./wheels\n--pre\n--prefer-binary\n--require-hashes\n\n"
        "six==1.17.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
        "pandas>=2 ; python_version > '3'  # via -r x.in\n"
    )


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("six\n-e ./here\n", "line 2 of the requirements: -e"),
        ("-e./here", "line 1 of the requirements: -e"),
        ("  --editable=./here", "--editable"),
        ("--pre -e ./here", "-e"),
        ("--pre\t--editable ./here", "--editable"),
        ("# no comment goes on \\\n-e ./here", "line 2 of the requirements: -e"),
        ("six \\\n-e ./here", "line 2 of the requirements: -e"),
        ("six\r-e ./here", "-e"),
        ("-r more.txt", "-r"),
        ("-c more.txt", "-c"),
        ("--no-binary :all:", "--no-binary"),
        ("six --config-settings=a=b", "--config-settings"),
        ("--trusted-host h", "--trusted-host"),
        ("-", "-"),
    ],
)
def test_other_options_are_refused_wherever_they_stand(text: str, option: str) -> None:
    with pytest.raises(PackageRefused) as refused:
        check_requirements(text)

    assert f"{option} is not allowed" in str(refused.value)
