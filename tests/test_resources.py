"""Files that travel with the package."""

from pathlib import Path

import pytest

from nesy_gedi.errors import UserError
from nesy_gedi.resources import resource


@pytest.mark.parametrize(
    ("folder", "name", "content"),
    [("programs", "addition.pl", "C is A + B."), ("experiments", "addition.toml", "[paper]")],
)
def test_shipped_files_are_found_from_any_directory(
    folder: str, name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = resource(folder, name)
    assert path.is_absolute()
    assert content in path.read_text(encoding="utf-8")


def test_a_file_of_that_name_where_the_user_stands_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "addition.pl").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert resource("programs", "addition.pl").read_text(encoding="utf-8") != "mine"


def test_an_unknown_file_names_the_nearest() -> None:
    with pytest.raises(
        UserError, match=r"unknown file in programs 'adition\.pl': did you mean 'addition\.pl'"
    ):
        resource("programs", "adition.pl")
    with pytest.raises(UserError, match=r"unknown file in programs 'addition\.toml'"):
        resource("programs", "addition.toml")  # that one lies in experiments
