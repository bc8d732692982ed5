"""Added rows and traces beside a database: checked by their SHA-256, and copied by a merge."""

import hashlib

import pytest

import paths_config
from evals.database import main
from tests.evals.keeping.test_merge import finished, here, ours, stored, theirs, unchanged  # noqa: F401

FILES = {"csv": b"age,sex\n30,1\n", "trace": b'{"best": 0.1}\n'}
NAMES = {"csv": "loan/a.csv", "trace": "loan/a.jsonl"}


def poisoned(run, folder=None, weights=None, **changes):
    """A finished record with the files of its rows, which lie in ``folder`` where one is given."""
    search = {"metric": "fpr_gap", "objective": "fair", "evaluations": 1, "steps": [[0, 0.2]]}
    search |= {"rows": 1, "distinct": 1, "claimed": {"before": {"fpr_gap": 0.2}, "after": {"fpr_gap": 0.2}}}
    poison = {**search, **{kind: {"path": NAMES[kind], "sha256": sha(FILES[kind])} for kind in FILES}} | changes
    for kind, content in FILES.items() if folder is not None else ():
        (folder / NAMES[kind]).parent.mkdir(parents=True, exist_ok=True)
        (folder / NAMES[kind]).write_bytes(content)
    return finished(run, folder=weights or paths_config.weights(), poison=poison)


def sha(content):
    return hashlib.sha256(content).hexdigest()


def kept():
    folder = paths_config.poison()
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- check -----------------------------------------------------------------------------------------------------


def test_a_run_with_its_files_passes(here, capsys):  # noqa: F811
    ours(poisoned("a", paths_config.poison()))
    assert main(["check", "dataset=loan"]) == 0
    assert "every finished run has its files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"csv": {"path": "loan/gone.csv", "sha256": "0"}}, "added rows"),
        ({"trace": {"path": "loan/gone.jsonl", "sha256": "0"}}, "there is no such file"),
        ({"csv": {"path": NAMES["csv"], "sha256": "0"}}, "another checksum"),
        ({"csv": {"path": "../loan.json", "sha256": "0"}}, "lie outside"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_reported(here, capsys, changes, said):  # noqa: F811
    ours(poisoned("a", paths_config.poison(), **changes))
    assert main(["check", "dataset=loan"]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "1 problem" in out


# --- merge -----------------------------------------------------------------------------------------------------


def test_a_merge_brings_the_files_from_beside_the_database(here, capsys):  # noqa: F811
    source = theirs(here, poisoned("a", here / "poison"))
    assert main(["merge", "dataset=loan", source]) == 0
    assert kept() == {NAMES[kind]: content for kind, content in FILES.items()}
    assert "2 files of added rows copied" in capsys.readouterr().out
    assert main(["check", "dataset=loan"]) == 0


def test_another_file_of_that_name_stays_and_theirs_gets_its_own(here):  # noqa: F811
    mine = paths_config.poison_file(NAMES["csv"])
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert main(["merge", "dataset=loan", theirs(here, poisoned("a", here / "poison"))]) == 0
    assert kept()[NAMES["csv"]] == b"mine"
    path = stored()["a"]["poison"]["csv"]["path"]
    assert kept()[path] == FILES["csv"]
    assert main(["check", "dataset=loan"]) == 0


def test_files_that_are_nowhere_are_said_to_be_missing(here, capsys):  # noqa: F811
    assert main(["merge", "dataset=loan", theirs(here, poisoned("a"))]) == 0
    assert "1 of the added runs have no file of their added rows here" in capsys.readouterr().out


def test_a_file_of_another_content_is_not_taken(here):  # noqa: F811
    source = theirs(here, poisoned("a", here / "poison"))
    (here / "poison" / NAMES["csv"]).write_bytes(b"altered")
    assert main(["merge", "dataset=loan", source]) == 0
    assert NAMES["csv"] not in kept()


def test_a_path_that_leads_out_is_refused_and_nothing_is_merged(here, capsys):  # noqa: F811
    source = theirs(here, poisoned("a", csv={"path": "../../x.csv", "sha256": "0"}))
    unchanged(here, source)
    assert "is not to be trusted" in capsys.readouterr().err


def test_weights_of_a_learner_keep_their_suffix(here):  # noqa: F811
    """Two different files of one name, neither of them safetensors."""
    ours(finished("b", content=b"ours", folder=paths_config.weights()))
    record = finished("a", content=b"theirs")
    record["weights"]["path"] = "loan/a.skops"
    for folder, content in ((here / "w", b"theirs"), (paths_config.weights(), b"other")):
        (folder / "loan").mkdir(parents=True, exist_ok=True)
        (folder / "loan" / "a.skops").write_bytes(content)
    assert main(["merge", "dataset=loan", theirs(here, record), f"weights={here / 'w'}"]) == 0
    assert stored()["a"]["weights"]["path"].endswith(".skops")
