"""A file that is not there is named with those beside it that may be meant."""

from pathlib import Path

import pytest

from utils.system.missing import describe_missing


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in ("course.yaml", "courses.csv", "people.csv", ".course.yml"):
        (tmp_path / name).touch()
    (tmp_path / "models.csv").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("course.yml", "there is no file course.yml; did you mean course.yaml?"),
        ("Courses.CSV", "there is no file Courses.CSV; did you mean courses.csv?"),
        ("../x/nobody.csv", "there is no file ../x/nobody.csv; look elsewhere"),
        ("mouse.csv", "there is no file mouse.csv; look elsewhere"),  # the ending alone is alike
        ("model.csv", "there is no file model.csv; look elsewhere"),  # a folder is none
        ("models.csv", "models.csv is a folder, not a file"),
        ("~nobody/course.yml", "there is no file ~nobody/course.yml; look elsewhere"),
        ("nobody.csv", "there is no file nobody.csv; look elsewhere"),
    ],
)
def test_names_that_are_close_are_asked_for(path, said):
    assert describe_missing(path, "look elsewhere") == said


def test_without_a_remedy_that_is_all():
    assert describe_missing("nobody.csv") == "there is no file nobody.csv"


def test_the_folder_is_named_as_it_was_written(tmp_path):
    path = Path(f"../{tmp_path.name}/peopel.csv")
    assert describe_missing(path).endswith(f"did you mean ../{tmp_path.name}/people.csv?")
