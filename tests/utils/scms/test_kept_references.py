"""References are grown once for the same rows and parents, and anew for others."""

from dataclasses import replace

import pytest

from tests.truths import BENT
from tests.utils.scms.test_independence import table
from tests.utils.scms.test_scoring import FITTED
from utils.scms import kept_references
from utils.scms.kept_references import keep_references
from utils.scms.linear import linear
from utils.scms.scoring import equations_of


@pytest.fixture
def bent(tmp_path, monkeypatch):
    """Data, their equations, and how often trees were grown; nothing is kept yet."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    data, grown = table(BENT, 400), []
    monkeypatch.setattr(kept_references, "references", lambda *of: grown.append(of) or {"scm_r2": len(grown) / 3})
    return data, equations_of(linear(data, **FITTED), data.columns), grown


def test_the_same_references_come_from_the_file_to_the_bit(bent):
    data, found, grown = bent
    first, second = keep_references(found, data), keep_references(found, data)
    assert first == second == {"scm_r2": 1 / 3}
    assert len(grown) == 1


def test_other_rows_or_parents_have_references_of_their_own(bent):
    data, found, grown = bent
    keep_references(found, data)
    keep_references(found, replace(data, train=data.train.rows(slice(0, 100))))
    keep_references(found, replace(data, fingerprint="other"))
    keep_references(found[::-1] + found, data)
    keep_references([of._replace(name=f"{of.name}_") for of in found], data)
    assert len(grown) == 5


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"scm_r2": 0.5}', '{"references": {"scm_r2": 0.5}, "sha256": ""}']
)
def test_a_damaged_file_is_grown_anew(bent, tmp_path, content):
    data, found, _ = bent
    first = keep_references(found, data)
    [file] = tmp_path.rglob("*.references")
    file.write_text(content)
    assert keep_references(found, data) != first
    assert file.read_text() != content


def test_a_folder_that_cannot_be_written_to_costs_no_run(bent, monkeypatch, tmp_path):
    data, found, _ = bent
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "file"))
    assert keep_references(found, data) == {"scm_r2": 1 / 3}
