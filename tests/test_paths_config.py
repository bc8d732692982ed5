"""The folders of what a run leaves behind: one rule for the paths that are written to and read from."""

import pytest

import paths_config
from evals.database import main
from tests.commands import SMALL, command, house, refused
from utils.model_zoo import from_database
from utils.run_store import RunStore


@pytest.mark.parametrize("path", ["../a", "a/../../b", "a/..", "/a", "", ".", "a\0b"])
@pytest.mark.parametrize("of", [paths_config.weights_file, paths_config.poison_file])
def test_a_path_out_of_the_folder_is_refused(of, path):
    with pytest.raises(ValueError, match="lie outside"):
        of(path)


def test_a_link_that_the_owner_has_made_is_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "disk").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "lin").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "a").write_bytes(b"1")
    assert paths_config.weights_file("lin/a").read_bytes() == b"1"


@pytest.fixture
def elsewhere(tmp_path):
    """A house whose databases, weights and outputs lie on another disk, behind links; the disk is returned."""
    disk = tmp_path / "disk"
    for name in ("evals", "weights/lin", "outputs", "house/weights"):
        (disk.parent if name.startswith("house") else disk).joinpath(name).mkdir(parents=True)
    with house(tmp_path / "house") as folder:
        (folder / "evals").symlink_to(disk / "evals")
        (folder / "outputs").symlink_to(disk / "outputs")
        (folder / "weights" / "lin").symlink_to(disk / "weights" / "lin")
        yield disk


def test_what_is_filed_behind_links_is_found_behind_them(elsewhere):
    answer = command("train", "dataset=lin", "dataset.rows=200", *SMALL)
    assert answer.code == 0, answer.err
    [record] = RunStore(paths_config.database("lin")).all()
    assert (elsewhere / "weights" / record["weights"]["path"]).is_file()
    assert from_database(1, "lin").columns
    assert main(["check", "dataset=lin"]) == 0
    paths_config.database("lin").unlink()
    assert main(["rebuild", "dataset=lin", "runs=outputs"]) == 0
    assert [again["run_id"] for again in RunStore(paths_config.database("lin")).all()] == [record["run_id"]]


def test_a_link_to_a_folder_that_cannot_be_made_is_told_before_the_training(elsewhere):
    link = paths_config.weights() / "lin"
    link.unlink()
    (elsewhere / "file").touch()
    link.symlink_to(elsewhere / "file" / "lin")
    answer = command("train", "dataset=lin", "dataset.rows=200", *SMALL)
    refused(answer, str(link), "TRILEMMA_WEIGHTS")
    assert not list((elsewhere / "evals").iterdir())
